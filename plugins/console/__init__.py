"""What everything at a terminal shares: the commands, and the conversation.

Owns the cleaning of other people's text, styles, how calls, requests, costs and what a
crash left are told, which runtime is opened, where settings are written, and first use.
Knows neither a command nor the conversation, which both import it.
"""
