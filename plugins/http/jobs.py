"""The operations of what a session has in hand: its to-dos and its jobs."""

from dovetail.kernel import Job, Todo

from . import bodies as b, shapes as s
from .operation import Call, operation
from .problems import closing
from .sessions import WaitQuery, found


@operation(
    "GET",
    "/api/session/{sessionID}/todo",
    "session.todos",
    answer=s.Data[tuple[Todo, ...]],
    refusals=(404,),
)
async def todos(call: Call[None, None], sessionID: str) -> s.Data[tuple[Todo, ...]]:
    """Return the list in which the model keeps what it is to do."""
    return s.Data(tuple(await (await found(call, sessionID)).todos()))


@operation(
    "GET",
    "/api/session/{sessionID}/job",
    "session.jobs",
    answer=s.Data[tuple[Job, ...]],
    refusals=(404,),
)
async def jobs(call: Call[None, None], sessionID: str) -> s.Data[tuple[Job, ...]]:
    """Return the jobs that calls of the session began, in that order."""
    return s.Data(tuple(await (await found(call, sessionID)).jobs()))


@operation(
    "GET",
    "/api/session/{sessionID}/detachable",
    "session.detachable",
    answer=s.Data[tuple[s.CallRef, ...]],
    refusals=(404,),
)
async def detachable(
    call: Call[None, None], sessionID: str
) -> s.Data[tuple[s.CallRef, ...]]:
    """Return the calls that run in this server and can go on as jobs."""
    session = await found(call, sessionID)
    return s.Data(tuple(s.CallRef(*one) for one in session.detachable()))


@operation(
    "POST",
    "/api/session/{sessionID}/detach",
    "session.detach",
    body=s.CallRef,
    answer=s.Data[Job],
    refusals=(404, 409, 429),
)
async def detach(call: Call[None, s.CallRef], sessionID: str) -> s.Data[Job]:
    """Let a running call go on as a job, whoever runs it: the model goes on at once."""
    session = await found(call, sessionID)
    return s.Data(await session.detach(call.body.messageID, call.body.callID))


@operation(
    "POST",
    "/api/session/{sessionID}/job/{jobID}/stop",
    "session.stopJob",
    answer=s.Data[Job],
    refusals=(404, 409),
)
async def stop_job(call: Call[None, None], sessionID: str, jobID: str) -> s.Data[Job]:
    """End a job with everything that it started."""
    return s.Data(await (await found(call, sessionID)).stop_job(jobID))


@operation(
    "POST",
    "/api/session/{sessionID}/job/{jobID}/extend",
    "session.extendJob",
    body=b.ExtendBody,
    answer=s.Data[Job],
    refusals=(404, 409),
)
async def extend_job(
    call: Call[None, b.ExtendBody], sessionID: str, jobID: str
) -> s.Data[Job]:
    """Let a job run for so long from now on, if that is longer than it may."""
    session = await found(call, sessionID)
    return s.Data(await session.extend_job(jobID, call.body.seconds))


@operation(
    "GET",
    "/api/session/{sessionID}/job/{jobID}/wait",
    "session.waitForJob",
    query=WaitQuery,
    answer=s.Data[Job],
    refusals=(404,),
)
async def wait_for_job(
    call: Call[WaitQuery, None], sessionID: str, jobID: str
) -> s.Data[Job]:
    """Return a job when it has ended, or as it is after so many seconds."""
    session = await found(call, sessionID)
    done = await call.while_there(
        lambda: session.wait_for_job(jobID, call.query.seconds)
    )
    if done is None:
        raise closing()
    return s.Data(done)
