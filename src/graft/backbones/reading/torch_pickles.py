"""What a torch state dict says of its tensors, read from its pickle without running it.

A pickle is a program for a small machine that can call anything. `pickletools` splits it into steps and executes none;
the machine below knows the steps of a plain state dict and builds texts, numbers, lists, dicts and descriptions of
tensors. It calls nothing: whatever else a pickle asks for is refused by name.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, NoReturn

from graft.backbones.reading.hdf5 import refusal
from graft.core.errors import BadInput

MAX_PICKLE_BYTES = 8 << 20
MAX_STEPS = 400_000  # a Vision Transformer takes 6,000
NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints keep the weights beside other things
STORAGE_TAGS: Mapping[str, str] = MappingProxyType(
    {
        "torch DoubleStorage": "F64",
        "torch FloatStorage": "F32",
        "torch HalfStorage": "F16",
        "torch BFloat16Storage": "BF16",
        "torch LongStorage": "I64",
        "torch IntStorage": "I32",
        "torch ShortStorage": "I16",
        "torch CharStorage": "I8",
        "torch ByteStorage": "U8",
        "torch BoolStorage": "BOOL",
    }
)
ORDERED_DICT = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
KNOWN = frozenset({ORDERED_DICT, TENSOR, *STORAGE_TAGS})
ARGUMENTS = (6, 7)  # of TENSOR: storage, offset, shape, strides, two that only training needs; newer: one more


@dataclass(frozen=True)
class StoredArray:
    """The numbers that one or more tensors share: `count` of them, at the place in the file that is named by `key`."""

    key: str
    tag: str  # of `core.tensors.DTYPES`
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the pickle describes it, unchecked: a window on its array. Offset and strides count elements."""

    array: StoredArray
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    """A name that the pickle refers to, one of KNOWN; nothing is imported for it."""

    name: str


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, and by key all arrays that the pickle refers to: a checkpoint's others are among them."""

    tensors: Mapping[str, StoredTensor]
    arrays: Mapping[str, StoredArray]


def state_dict(pickle: BinaryIO, source: str) -> StateDict:
    """What a pickled state dict describes; one within a checkpoint is found too. What follows it is left to be read.

    Raises:
        BadInput: `weights_refused` for a damaged pickle, `format_not_allowed` for one that would run something.
    """
    machine = _Machine(source)
    value = machine.run(pickle)
    for name in NESTED:
        if isinstance(value, dict) and isinstance(value.get(name), dict):
            value = value[name]
            break
    if not isinstance(value, dict) or not value:
        raise refusal(source, "must hold a state dict, names with their tensors, got something else")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise refusal(source, f"must hold tensors only, got {_kind(tensor)} under {str(name)[:80]!r}")
    return StateDict(value, machine.arrays)


def plain_value(pickle: BinaryIO, source: str) -> Any:
    """The texts, numbers, lists and dicts of a pickle; raises as `state_dict` does."""
    return _Machine(source).run(pickle)


class _Machine:
    """A pickle machine that knows data only. `_marks` holds the stacks that were put aside at each mark."""

    def __init__(self, source: str) -> None:
        self.arrays: dict[str, StoredArray] = {}
        self._source = source
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, pickle: BinaryIO) -> Any:
        """Take one step after another until the pickle ends; what is left is its value."""
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
                if number == MAX_STEPS:
                    raise refusal(self._source, f"must be described in at most {MAX_STEPS} steps")
                if opcode.name == "STOP":
                    return self._pop()
                step = _STEPS.get(opcode.name)
                if step is None:
                    self._forbid(f"the step {opcode.name}")
                step(self, argument)
        except ValueError as error:  # what pickletools says of a damaged one
            raise refusal(self._source, f"must be sound, got: {str(error)[:120]}") from error
        raise refusal(self._source, "must be whole, got a pickle without an end")

    def _forbid(self, what: str) -> NoReturn:
        raise BadInput(
            f"The weights file {self._source} must hold tensors alone, got {what[:120]} in its pickle.",
            hint="Nothing of it was run. In torch: torch.save(model.state_dict(), 'weights.pth').",
            code="format_not_allowed",
        )

    def _pop(self) -> Any:
        if not self._stack:
            raise refusal(self._source, "must be sound, got a pickle that takes more than it has")
        return self._stack.pop()

    def _top(self, kind: type[Any]) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise refusal(self._source, f"must be sound, got a pickle that fills what is no {kind.__name__}")
        return self._stack[-1]

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def mark(self, _: Any) -> None:
        """Begin a group of values."""
        self._marks.append(self._stack)
        self._stack = []

    def _group(self) -> list[Any]:
        if not self._marks:
            raise refusal(self._source, "must be sound, got a pickle that ends a group it never began")
        group, self._stack = self._stack, self._marks.pop()
        return group

    def remember(self, place: int) -> None:
        """Keep the top value for later."""
        self._memo[place] = self._top(object)

    def recall(self, place: int) -> None:
        """Put a kept value on the stack."""
        if place not in self._memo:
            raise refusal(self._source, "must be sound, got a pickle that recalls what it never kept")
        self.push(self._memo[place])

    def group_to_tuple(self, _: Any) -> None:
        """The values of the group as one tuple."""
        group = self._group()
        self.push(tuple(group))

    def last_to_tuple(self, count: int) -> None:
        """The last `count` values as one tuple."""
        values = [self._pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def append(self, _: Any) -> None:
        """One value to the list below it."""
        value = self._pop()
        self._top(list).append(value)

    def extend(self, _: Any) -> None:
        """The values of the group to the list below it."""
        group = self._group()
        self._top(list).extend(group)

    def set_item(self, _: Any) -> None:
        """One key and value to the dict below them."""
        value = self._pop()
        self._put([self._pop(), value])

    def set_items(self, _: Any) -> None:
        """The keys and values of the group to the dict below it."""
        self._put(self._group())

    def _put(self, pairs: list[Any]) -> None:
        target = self._top(dict)
        if len(pairs) % 2:
            raise refusal(self._source, "must be sound, got a pickle with a key that has no value")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in (str, int):  # to hash a deep tuple could take forever
                self._forbid(f"a key that is {_kind(key)}")
            if key in target:
                raise refusal(self._source, f"must name each tensor once, got {str(key)[:80]!r} twice")
            target[key] = value

    def refer(self, name: str) -> None:
        """A name of Python's: only those that a state dict needs, and only as a name."""
        if name not in KNOWN:
            self._forbid(f"the name {name.replace(' ', '.')!r}")
        self.push(_Global(name))

    def call(self, _: Any) -> None:
        """What would be a call: an empty dict, or the description of a tensor."""
        arguments, function = self._pop(), self._pop()
        name = function.name if isinstance(function, _Global) else ""
        if name == ORDERED_DICT and arguments == ():
            self.push({})
        elif name == TENSOR and isinstance(arguments, tuple) and len(arguments) in ARGUMENTS:
            self.push(self._tensor(arguments))
        else:
            self._forbid(f"a call of {name.replace(' ', '.') or _kind(function)}")

    def _tensor(self, arguments: tuple[Any, ...]) -> StoredTensor:
        array, offset, shape, strides = arguments[:4]
        whole = _whole(offset) and all(isinstance(each, tuple) and all(map(_whole, each)) for each in (shape, strides))
        if not isinstance(array, StoredArray) or not whole:
            raise refusal(self._source, "must describe each tensor by whole numbers from 0")
        return StoredTensor(array, offset, shape, strides)

    def persistent(self, _: Any) -> None:
        """An array outside the pickle: ("storage", its type, its key, the device, the count).

        Before torch 1.6 one more follows: None, or what this array is a window of, which no state dict has.
        """
        match self._pop():
            case ("storage", _Global(name), str(key), str(), int(count), *rest) if (
                name in STORAGE_TAGS and _whole(count) and rest in ([], [None])
            ):
                array = StoredArray(key, STORAGE_TAGS[name], count)
                if self.arrays.setdefault(key, array) != array:
                    raise refusal(self._source, f"must describe each array in one way, got two for {key[:40]!r}")
                self.push(array)
            case _:
                self._forbid("a reference to something that is no array")

    def attributes(self, _: Any) -> None:
        """Attributes of a dict, such as the versions of its modules: of no use here."""
        self._pop()
        self._top(dict)


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__.strip('_')}"


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = MappingProxyType(
    {
        "PROTO": lambda machine, _: None,
        "NONE": _constant(None),
        "NEWTRUE": _constant(True),
        "NEWFALSE": _constant(False),
        **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), _Machine.push),
        **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), _Machine.push),  # texts, where Python 2 wrote them
        "MARK": _Machine.mark,
        **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.remember),
        **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
        "EMPTY_DICT": lambda machine, _: machine.push({}),
        "EMPTY_LIST": lambda machine, _: machine.push([]),
        "EMPTY_TUPLE": _constant(()),
        "TUPLE": _Machine.group_to_tuple,
        "TUPLE1": lambda machine, _: machine.last_to_tuple(1),
        "TUPLE2": lambda machine, _: machine.last_to_tuple(2),
        "TUPLE3": lambda machine, _: machine.last_to_tuple(3),
        "APPEND": _Machine.append,
        "APPENDS": _Machine.extend,
        "SETITEM": _Machine.set_item,
        "SETITEMS": _Machine.set_items,
        "GLOBAL": _Machine.refer,
        "REDUCE": _Machine.call,
        "BINPERSID": _Machine.persistent,
        "BUILD": _Machine.attributes,
    }
)
