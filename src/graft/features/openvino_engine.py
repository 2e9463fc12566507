"""Programs on OpenVINO: the compiled form, many batches at once."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.errors import ResourceProblem
from graft.core.telemetry import import_openvino
from graft.features.compiled import compiled_form
from graft.features.forms import COMPILE_VERSION, Form
from graft.features.protocol import Batch, Outputs, Rows, check_finite, padded
from graft.features.records import Precision, Program

HINTS: Final[dict[Precision, str]] = {"float32": "f32", "bfloat16": "bf16"}
JOBS_PER_STREAM = 2  # one computing, one waiting: a stream never starves, and memory stays bounded


@dataclass(frozen=True)
class OpenVinoEngine:
    """One compiled network. `run` may be called from several threads at once: each takes its own requests."""

    program: Program
    identity: str
    events: tuple[str, ...]
    streams: int
    compiled: Any
    ports: dict[str, int]  # Output.name -> number of the network's result
    idle: SimpleQueue[Any]  # inference requests that nobody uses: making one costs more than a small network's run
    name: str = "openvino"

    @classmethod
    def open(cls, program: Program, weights: WeightsFile, *, threads: int, cache: Path, apart: bool) -> Self:
        """Find or make the compiled form and load it for this machine."""
        form = compiled_form(program, weights, cache)
        streams = threads // threads_per_stream(program, threads, apart=apart)
        try:
            compiled = _load(program, form, threads=threads, streams=streams)
        except ResourceProblem:
            if form.graph.exists():
                raise
            form = compiled_form(program, weights, cache)  # the cache was cleared since the form was verified
            compiled = _load(program, form, threads=threads, streams=streams)
        ports = {name: port for port, output in enumerate(compiled.outputs) for name in output.names}
        return cls(
            program=program,
            identity=openvino_identity(program, threads, apart=apart),
            events=form.events,
            streams=streams,
            compiled=compiled,
            ports={output.name: ports[output.name] for output in program.outputs},
            idle=SimpleQueue(),
        )

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Rows, Outputs]]:
        """See `Engine.run`. Reads ahead by at most `streams * 2` batches."""
        running: deque[tuple[Any, Rows]] = deque()
        try:
            for rows, pixels in batches:
                if len(running) == self.streams * JOBS_PER_STREAM:
                    yield self._finish(*running.popleft())
                request = self._request()
                request.start_async({0: padded(pixels, self.program)})
                running.append((request, rows))
            while running:
                yield self._finish(*running.popleft())
        finally:
            for request, _ in running:  # the caller stopped early: memory must outlive the computation
                request.wait()
                self.idle.put(request)

    def close(self) -> None:
        """Drop the idle requests; the network goes with the last reference to the engine."""
        while not self.idle.empty():
            self.idle.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _request(self) -> Any:
        try:
            return self.idle.get_nowait()
        except Empty:
            return self.compiled.create_infer_request()

    def _finish(self, request: Any, rows: Rows) -> tuple[Rows, Outputs]:
        request.wait()
        outputs = {
            name: np.array(request.get_output_tensor(port).data[: len(rows)], np.float32)
            for name, port in self.ports.items()
        }
        self.idle.put(request)
        check_finite(outputs, rows)
        return rows, outputs


def openvino_identity(program: Program, threads: int, *, apart: bool = False) -> str:
    """Versions, threads that share a batch, and what the processor can do. Nothing is imported for it."""
    versions = f"openvino {metadata.version('openvino')}, keras {metadata.version('keras')}, form {COMPILE_VERSION}"
    together = threads_per_stream(program, threads, apart=apart)
    return f"{versions}, {together} threads, {' '.join(machine.cpu_features())}"


def threads_per_stream(program: Program, threads: int, *, apart: bool = False) -> int:
    """Threads that share one batch: all of them where one image must be answered fast, one where many are read."""
    return threads if program.batch_images == 1 and not apart else 1


def _load(program: Program, form: Form, *, threads: int, streams: int) -> Any:
    """The network compiled for this processor, at the program's precision and batch."""
    openvino = import_openvino()
    hint = HINTS[program.precision]
    side = program.side_pixels
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY" if program.batch_images == 1 and streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(threads),
    }
    try:
        core = openvino.Core()
        network = core.read_model(str(form.graph))
        if len(network.outputs) > len(program.outputs):  # layers above what is read are not computed
            wanted = [network.output(output.name) for output in program.outputs]
            network = openvino.Model(wanted, network.get_parameters(), program.backbone)
        network.reshape({network.inputs[0]: [program.batch_images, side, side, 3]})
        compiled = core.compile_model(network, "CPU", settings)
    except RuntimeError as error:
        raise ResourceProblem(
            f"{program.backbone} could not be loaded for this processor: {str(error).strip().splitlines()[-1][:300]}",
            code="cannot_compile",
        ) from error
    got = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if got != hint:
        raise ResourceProblem(
            f"{program.backbone} must run in {program.precision} here, got {got} from OpenVINO.",
            hint="Use --precision float32.",
            code="cannot_compile",
        )
    return compiled
