"""The HTTP API: every path, and what it calls."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from flyball import __version__
from flyball.errors import Conflict, FlyballError, InputError
from flyball.web import shapes
from flyball.web.commands import CommandAsk, Commands, Log, RunView
from flyball.web.problems import NotThere, problem_bytes, problem_of, status_of

FOLLOW_SECONDS = 0.3  # between two looks at a log
RUNS_MAX = 1000

_T = TypeVar("_T")
RunId = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": shapes.Problem, "content": {"application/problem+json": {}}},
    "5XX": {"model": shapes.Problem, "content": {"application/problem+json": {}}},
}


def api(commands: Commands, closing: threading.Event) -> FastAPI:
    """The app, without its gate. When `closing` is set, logs that are followed come to their end."""
    return _Api(commands, closing).app


class _Api:
    def __init__(self, commands: Commands, closing: threading.Event) -> None:
        self._commands, self._closing = commands, closing
        self._turn = threading.Lock()  # requests come in many threads, and commands are called one at a time
        self.app = FastAPI(
            title="flyball",
            version=__version__,
            description="Runs of the governor: submit, follow, cancel. Times are seconds since the epoch, UTC.",
            docs_url=None,  # its pages load scripts from elsewhere
            redoc_url=None,
            responses=_PROBLEMS,
            dependencies=[
                Security(HTTPBearer(auto_error=False, description="the file api-token in flyball's home"))
            ],
        )
        _handle_errors(self.app)
        self._add_runs(self.app)
        self._add_logs(self.app)
        self._add_rest(self.app)

    def _call(self, ask: Callable[[Commands], _T]) -> _T:
        with self._turn:
            return ask(self._commands)

    def _view(self, run_id: str) -> RunView:
        view = self._call(lambda c: c.run(run_id))
        if view is None:
            raise NotThere(f"there is no run {run_id}", hint="GET /v1/runs?ended=1")
        return view

    def _add_runs(self, app: FastAPI) -> None:
        @app.post("/v1/runs", status_code=201, response_model=shapes.Run, tags=["runs"])
        def submit(
            ask: shapes.Submission,
            idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
        ) -> Response:
            """Submit a run. The same Idempotency-Key always gives the same run: 201 when it is new, else 200."""
            return self._submit(ask, idempotency_key)

        @app.get("/v1/runs", response_model=shapes.Runs, tags=["runs"])
        def runs(
            ended: bool = False,
            limit: Annotated[int, Query(ge=1, le=RUNS_MAX)] = 100,
            job: str | None = None,
            state: str | None = None,
        ) -> Response:
            """Runs that have not ended (with ended=1: all that are remembered), the newest of them, oldest first."""
            found = self._call(lambda c: c.runs(newest=RUNS_MAX, with_ended=ended))
            chosen = [run for run in found if job in {None, run.job} and state in {None, run.state}]
            return _json({"runs": chosen[-limit:]})

        @app.get("/v1/runs/{run_id}", response_model=shapes.RunInFull, tags=["runs"])
        def run(run_id: RunId) -> Response:
            """State, attempts, and every reason."""
            return _json(shapes.run_json(self._view(run_id)))

        @app.post("/v1/runs/{run_id}/cancel", response_model=shapes.Cancelled, tags=["runs"])
        def cancel(run_id: RunId, why: shapes.Why | None = None) -> Response:
            """End it. Doing it twice, or to a run that has ended, changes nothing."""
            self._view(run_id)
            reason = (why.reason if why else "") or "cancelled over HTTP"
            return _json({"run_id": run_id, "cancelled": self._call(lambda c: c.cancel(run_id, reason))})

        @app.post("/v1/runs/{run_id}/retry", status_code=201, response_model=shapes.Run, tags=["runs"])
        def retry(run_id: RunId) -> Response:
            """A new run of what that one was."""
            self._view(run_id)
            return _json(self._call(lambda c: c.retry(run_id)), 201)

    def _submit(self, ask: shapes.Submission, key: str | None) -> Response:
        if (ask.job is None) == (ask.command is None):
            raise InputError(
                "job or command: one of them", hint='{"job": "etl"} or {"command": ["python", "x.py"]}'
            )
        run_id = None if key is None else run_id_of_key(key)

        def act(commands: Commands) -> Response:
            known = commands.run(run_id) if run_id is not None else None
            if known is not None:
                if not _is_same(known, ask):
                    raise Conflict(
                        "that Idempotency-Key belongs to another run",
                        why=f"run {run_id}",
                        hint="use a new key",
                    )
                return _json(known.status)
            if ask.job is not None:
                return _json(
                    commands.submit_job(ask.job, fills=ask.params, tags=ask.tags, run_id=run_id), 201
                )
            return _json(commands.submit_command(_command_ask(ask), run_id=run_id), 201)

        return self._call(act)

    def _add_logs(self, app: FastAPI) -> None:
        @app.get("/v1/runs/{run_id}/logs", tags=["runs"], response_class=Response)
        def logs(
            run_id: RunId,
            follow: bool = False,
            attempt: Annotated[
                int | None, Query(ge=1, description="default: the last; with follow: all to come")
            ] = None,
        ) -> Response:
            """Its output as text. With follow=1 as it comes, until the run has ended."""
            view = self._view(run_id)
            count = len(view.attempts)
            if attempt is not None and attempt > count:
                raise NotThere(
                    f"run {run_id} had {count} attempts, not {attempt}", hint=f"GET /v1/runs/{run_id}"
                )
            if follow:
                return _text(self._follow(run_id, attempt))
            log = self._log(view.attempts[(attempt or count) - 1].attempt_id) if count else None
            if log is None:
                raise NotThere(
                    f"no output of {run_id} is here",
                    why="nothing has started yet, or its output is kept elsewhere",
                    hint=f"GET /v1/runs/{run_id}",
                )
            try:
                return Response(log.read(), media_type="text/plain")
            finally:
                log.close()

    def _log(self, attempt_id: str) -> Log | None:
        return self._call(lambda c: c.log(attempt_id))

    async def _follow(self, run_id: str, attempt: int | None) -> AsyncIterator[bytes]:
        """Attempt after attempt from the last one on, or only the one that is named."""
        log: Log | None = None
        seen: int | None = None if attempt is None else attempt - 1
        try:
            while not self._closing.is_set():
                view = await run_in_threadpool(self._view, run_id)
                attempts = view.attempts if attempt is None else view.attempts[:attempt]
                seen = max(0, len(attempts) - 1) if seen is None else seen
                for each in attempts[seen:]:
                    if log is not None:
                        yield await run_in_threadpool(log.read)
                        log.close()
                    log = await run_in_threadpool(self._log, each.attempt_id)
                    seen += 1
                if log is not None and (piece := await run_in_threadpool(log.read)):
                    yield piece
                if view.status.is_over or (
                    attempt is not None and view.attempts[attempt - 1].outcome is not None
                ):
                    return
                await asyncio.sleep(FOLLOW_SECONDS)
        finally:
            if log is not None:
                log.close()

    def _add_rest(self, app: FastAPI) -> None:
        @app.get("/v1/jobs", response_model=shapes.Jobs, tags=["jobs"])
        def jobs() -> Response:
            return _json({"jobs": self._call(lambda c: c.jobs())})

        @app.post("/v1/jobs/{name:path}/pause", response_model=shapes.Job, tags=["jobs"])
        def pause(name: str, why: shapes.Why | None = None) -> Response:
            """Nothing starts it by itself until it is resumed."""
            return self._change(name, lambda c: c.pause(name, why.reason if why else ""))

        @app.post("/v1/jobs/{name:path}/resume", response_model=shapes.Job, tags=["jobs"])
        def resume(name: str) -> Response:
            return self._change(name, lambda c: c.resume(name))

        @app.get("/v1/machines", response_model=shapes.Machines, tags=["money"])
        def machines() -> Response:
            """Everything that has been launched and not given back."""
            return _json({"machines": self._call(lambda c: c.machines())})

        @app.get("/v1/costs", response_model=shapes.CostPage, tags=["money"])
        def costs(by: str = "job", since_seconds: float | None = None) -> Response:
            """By job, day, provider, outcome, market, or "tag KEY"."""
            return _json(shapes.costs_json(self._call(lambda c: c.costs(by=by, since_seconds=since_seconds))))

        @app.get("/healthz", tags=["health"])
        def healthz() -> dict[str, str]:
            """Needs no token, tells nothing else."""
            return {"status": "ok"}

    def _change(self, name: str, change: Callable[[Commands], None]) -> Response:
        if not any(job.name == name for job in self._call(lambda c: c.jobs())):
            raise NotThere(f"no job {name!r} is defined", hint="GET /v1/jobs")
        self._call(change)
        return _json(next(job for job in self._call(lambda c: c.jobs()) if job.name == name))


def run_id_of_key(key: str) -> str:
    """The id of the run that a key stands for, for ever."""
    return f"key{hashlib.sha256(key.encode()).hexdigest()[:15]}"


def _is_same(known: RunView, ask: shapes.Submission) -> bool:
    if ask.job is not None:
        return known.status.job == ask.job and dict(known.fills) == ask.params
    return ask.name is None or known.status.job == ask.name


def _command_ask(ask: shapes.Submission) -> CommandAsk:
    return CommandAsk(
        command=tuple(ask.command or ()),
        name=ask.name,
        providers=tuple(ask.on),
        workdir=ask.workdir,
        env=ask.env,
        tags=ask.tags,
        memory=ask.memory,
        cpus=ask.cpus,
        retries=ask.retries,
        timeout=ask.timeout,
        deadline=ask.deadline,
    )


def _json(value: Any, status: int = 200) -> Response:
    return Response(shapes.encoded(value), status_code=status, media_type="application/json")


def _text(pieces: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(pieces, media_type="text/plain")


def _handle_errors(app: FastAPI) -> None:
    def answer(status: int, body: bytes) -> Response:
        headers = {"Retry-After": "5"} if status == 503 else None
        return Response(body, status_code=status, media_type="application/problem+json", headers=headers)

    @app.exception_handler(FlyballError)
    def flyball_error(_: Request, error: FlyballError) -> Response:
        return answer(status_of(error), problem_of(error))

    @app.exception_handler(RequestValidationError)
    def wrong_request(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return answer(422, problem_bytes(422, f"{where} cannot be used", first["msg"], "GET /openapi.json"))

    @app.exception_handler(HTTPException)
    def not_there(request: Request, error: HTTPException) -> Response:
        what = f"{request.method} {request.url.path}"
        body = problem_bytes(error.status_code, what, str(error.detail), "GET /openapi.json lists every path")
        return answer(error.status_code, body)

    @app.exception_handler(Exception)
    def a_bug(_: Request, error: Exception) -> Response:
        """The traceback goes to the governor's stderr."""
        return answer(
            500, problem_bytes(500, "flyball failed", type(error).__name__, "see what flyball up wrote")
        )
