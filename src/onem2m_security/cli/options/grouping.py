"""Options that belong together, declared once as a class and taken by a command as one parameter."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class OptionGroup:
    """What a dataclass derives from whose fields are options: each an ``Annotated[…, typer.Option(…)]``.

    A field may be a group itself. What is not given has the field's default.
    """

    __slots__ = ()

    @property
    def are_default(self) -> bool:
        """Whether none of its options was given, or only what they are without it."""
        return all(
            _is_default(getattr(self, field.name), field)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]  # each is a dataclass
        )


def _is_default(value: object, field: dataclasses.Field[Any]) -> bool:
    if isinstance(value, OptionGroup):
        return value.are_default
    return value == _default(field) or value == []  # an option that may be repeated, and was not given


@dataclasses.dataclass(frozen=True, slots=True)
class Without:
    """In ``Annotated[Group, Without(…)]``: fields that are no options of this command."""

    names: frozenset[str]


def without(*names: str) -> Without:
    """A group without these of its fields."""
    return Without(frozenset(names))


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Declare the fields of a command's groups as options of its own; it is called with the groups."""
    taken = inspect.signature(command, eval_str=True).parameters.values()
    flat = {one.name: one for parameter in taken for one in _flattened(parameter)}

    @functools.wraps(command)
    def declared(**given: Any) -> None:  # noqa: ANN401 - as the options say
        command(**{parameter.name: _made(parameter, given) for parameter in taken})

    declared.__signature__ = inspect.Signature(list(flat.values()))  # type: ignore[attr-defined]
    declared.__annotations__ = {name: one.annotation for name, one in flat.items()}
    return declared


def _flattened(parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    group = _group(parameter.annotation)
    if group is None:
        yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        return
    for field in _fields(parameter.annotation):
        yield from _flattened(field)


def _fields(annotation: Any) -> list[inspect.Parameter]:  # noqa: ANN401 - any annotation
    group = _group(annotation)
    hidden = {name for one in get_args(annotation) if isinstance(one, Without) for name in one.names}
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)  # type: ignore[arg-type]
        if field.name not in hidden
    ]


def _default(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401 - as the field says
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default


def _made(parameter: inspect.Parameter, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a group or a value
    group = _group(parameter.annotation)
    if group is None:
        return given[parameter.name]
    return group(**{field.name: _made(field, given) for field in _fields(parameter.annotation)})


def _group(annotation: Any) -> type[Any] | None:  # noqa: ANN401 - any annotation
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return bare if isinstance(bare, type) and issubclass(bare, OptionGroup) else None
