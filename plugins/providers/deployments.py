"""Deployments: who else offers a protocol, where, and what holds the key.

Owns addresses alone. What is particular to one of them is learned from its answers, or
known by its host where its requests are written (``openai``).
"""

import re
from collections.abc import Mapping

from .endpoints import Deployment

CHAT: Mapping[str, Deployment] = {
    # Its own address is each customer's, and what is below it the same for all.
    "azure": Deployment(
        None, "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "/openai/v1"
    ),
    "cerebras": Deployment("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepseek": Deployment("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks": Deployment(
        "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"
    ),
    "github-models": Deployment("https://models.github.ai/inference", "GITHUB_TOKEN"),
    "groq": Deployment("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "huggingface": Deployment("https://router.huggingface.co/v1", "HF_TOKEN"),
    "llamacpp": Deployment("http://127.0.0.1:8080/v1", None, "LLAMACPP_BASE_URL"),
    "lmstudio": Deployment("http://127.0.0.1:1234/v1", None, "LMSTUDIO_BASE_URL"),
    "mistral": Deployment("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "moonshot": Deployment("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "openrouter": Deployment("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "perplexity": Deployment("https://api.perplexity.ai", "PERPLEXITY_API_KEY"),
    "together": Deployment("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "vllm": Deployment("http://127.0.0.1:8000/v1", None, "VLLM_BASE_URL"),
    "xai": Deployment("https://api.x.ai/v1", "XAI_API_KEY"),
    "zai": Deployment("https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
}


_PART = re.compile(r"[a-z0-9][a-z0-9:._-]{0,127}\Z")


def vertex(publisher: str, environment: Mapping[str, str]) -> str | None:
    """Return where Vertex AI has the models of a publisher, for the project and the
    place that the environment names; None where it names no project."""
    project = environment.get("GOOGLE_CLOUD_PROJECT", "").strip()
    place = environment.get("GOOGLE_CLOUD_LOCATION", "").strip() or "global"
    if not _PART.match(project) or not _PART.match(place):
        return None
    host = "aiplatform.googleapis.com"
    host = host if place == "global" else f"{place}-{host}"
    return (
        f"https://{host}/v1/projects/{project}/locations/{place}/publishers/{publisher}"
    )


_VERTEX_TOKEN = "CLOUDSDK_AUTH_ACCESS_TOKEN"
"""Google's own command line takes a token from it, too."""

GEMINI: Mapping[str, Deployment] = {
    "vertex": Deployment(
        None,
        _VERTEX_TOKEN,
        placed=lambda environment: vertex("google", environment),
        bearer=True,
    ),
}
CLAUDE: Mapping[str, Deployment] = {
    "vertex-anthropic": Deployment(
        None,
        _VERTEX_TOKEN,
        placed=lambda environment: vertex("anthropic", environment),
        bearer=True,
    ),
}
