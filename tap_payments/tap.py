"""The tap: its settings, its streams, and the course of a run."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, cast

import click
from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib import Catalog, Schema
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_payments.catalog import resolve_catalog
from tap_payments.cli import PaymentsCommand, StopSignals, graceful_end, read_object
from tap_payments.context import SyncContext
from tap_payments.errors import RunError
from tap_payments.output.writer import BufferedWriter
from tap_payments.records.schema import SCHEMAS, SchemaRules, select_fields
from tap_payments.settings import SETTINGS, Settings, read_text
from tap_payments.stream_maps import find_idle_maps
from tap_payments.streams import STREAMS
from tap_payments.validation import check_config, check_state, find_conflicts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from tap_payments.client import PaymentsStream


class TapPayments(Tap):
    """Reads charges, products, customers and subscriptions from a payments API."""

    name = "tap-payments"
    package_name = "tap-payments"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS.to_dict()
    message_writer_class = BufferedWriter

    def __init__(
        self,
        *,
        config: dict[str, Any] | PurePath | str | list[PurePath | str] | None = None,
        catalog: PurePath | str | dict[str, Any] | Catalog | None = None,
        parse_env_config: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take configuration, catalog and state as the SDK does."""
        self._signals = StopSignals()
        if isinstance(catalog, Catalog):
            catalog = catalog.to_dict()
        if isinstance(catalog, str | PurePath):
            catalog = read_object("catalog", str(catalog))
        if isinstance(catalog, dict):
            catalog = resolve_catalog(catalog, STREAMS, self.logger)
        super().__init__(config=config, catalog=catalog, parse_env_config=parse_env_config, **kwargs)

    @cached_property
    @override
    def input_catalog(self) -> Catalog | None:
        """The catalog that was given, with the settings applied to its schemas."""
        catalog = super().input_catalog
        rules = SchemaRules.from_config(self.config)
        for entry in catalog.streams if catalog else ():
            if (name := entry.tap_stream_id) in STREAMS:
                ignored: list[str] = []
                declared = rules.declare(SCHEMAS.get_schema(name), entry.schema.to_dict(), ignored.append)
                entry.schema = Schema.from_dict(declared)
                if ignored:
                    message = "%s: with `personal_data: %s` the catalog's types of these fields are ignored: %s"
                    self.logger.warning(message, name, rules.personal_data, ", ".join(f"`{one}`" for one in ignored))
        return catalog

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        check_state(state)
        if state and "bookmarks" not in state:
            self.logger.warning(
                "the state has no `bookmarks`, so streams begin at the beginning: use the value of a STATE message"
            )
        # Nulls, which some targets write, are dropped: the SDK would take one for a bookmark.
        bookmarks = {
            name: {key: value for key, value in (bookmark or {}).items() if value is not None}
            for name, bookmark in (state.get("bookmarks") or {}).items()
        }
        for name, bookmark in bookmarks.items():
            if bookmark.pop("partitions", None) is not None:
                self.logger.warning("%s: `partitions` in the state ignored: this tap has none", name)
        super().load_state({**state, "bookmarks": bookmarks})

    @override
    def setup_mapper(self) -> None:
        """Register the selected schemas with the SDK's mapper, and warn of maps that change nothing.

        Raises:
            RunError: If flattening gives two fields one name.
        """
        fields: dict[str, set[str] | None] = {name: set(SCHEMAS.get_schema(name)["properties"]) for name in STREAMS}
        stream_maps = dict(self.config.get("stream_maps") or {})  # The SDK takes `__else__` out of the setting.
        PluginBase.setup_mapper(self)
        for name, entry in self.catalog.items():
            schema, mask = entry.schema.to_dict(), entry.metadata.resolve_selection()
            if (known := fields.get(name)) is not None:
                fields[name] = None if schema.get("additionalProperties") else {*known, *schema.get("properties", {})}
            # A map of a stream that is not selected would lack its key.
            if mask.get((), True):
                self._register(name, select_fields(schema, mask), entry.key_properties)
        if self.config.get("stream_maps") is not None:
            for line in find_idle_maps(stream_maps, fields):
                self.logger.warning("%s", line)

    def _register(self, name: str, schema: dict[str, Any], key_properties: Sequence[str] | None) -> None:
        try:
            self.mapper.register_raw_stream_schema(name, schema, key_properties)
        except ValueError as error:
            if not self.config.get("flattening_enabled"):
                raise
            advice = "set another `flattening_separator` or a larger `flattening_max_key_length`, or deselect a field"
            raise RunError(f"{name}: flattening gives two fields one name: {error}: {advice}") from None

    @cached_property
    def sync_context(self) -> SyncContext:
        """State that the streams of this sync share."""
        return SyncContext(self.settings, self.logger, self._signals.stop)

    @override
    def discover_streams(self) -> list[PaymentsStream]:
        return [stream(self) for stream in STREAMS.values()]

    # Settings.

    @cached_property
    def settings(self) -> Settings:
        """The settings, with every default filled in."""
        return Settings.from_config(self.config)

    @property
    @override
    def _env_var_config(self) -> dict[str, Any]:
        """The settings in the environment.

        The SDK reads any text as a boolean, and fails on an invalid number without naming the setting.
        """
        self.append_builtin_config(self.config_jsonschema)
        declared = self.config_jsonschema["properties"]
        texts = {"properties": {name: {"type": "string"} for name in declared}}
        found = parse_environment_config(texts, self._env_var_prefix)
        return {name: read_text(text, declared[name]["type"]) for name, text in found.items()}

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the configuration, and fill in its defaults; null counts as not set.

        Raises:
            ConfigValidationError: If something is invalid; its text is one line, and never holds a value.
        """
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        self._config = {name: value for name, value in self._config.items() if value is not None}
        for name in sorted(self._config.keys() - schema["properties"].keys()):
            self.logger.warning("unknown setting ignored: `%s`", name)
        invalid = check_config(self._config, schema) or list(find_conflicts(self.settings, self._config))
        if invalid and raise_errors:
            raise ConfigValidationError("; ".join(invalid), errors=invalid, schema={})
        return invalid

    # Running.

    @classmethod
    @override
    def print_about(cls, output_format: str | None = None) -> None:
        """Print what the tap is, as Markdown by default: the SDK's text has neither defaults nor descriptions."""
        super().print_about(output_format or "markdown")

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        config = super().cb_config(ctx, param, tuple(name for name in value if name == "ENV"))
        for path in value:
            if path != "ENV":
                config.config |= read_object("--config", path)
        return config

    @classmethod
    @override
    def invoke(  # type: ignore[override]  # as the SDK itself does
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        state: str | None = None,
        catalog: str | None = None,
    ) -> None:
        """Sync what the catalog selects, or print what the tap is."""
        super(Tap, cls).invoke(about=about, about_format=about_format)
        cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config if config else None,
            state=None if state is None else read_object("--state", state, on_empty=cls.logger.warning),
            catalog=None if catalog is None else read_object("--catalog", catalog),
            parse_env_config=config.parse_env if config else False,
        )
        if not any(stream.selected for stream in tap.streams.values()):
            raise RunError("the catalog selects no stream, so that nothing would be read: check what is selected")
        with tap.graceful_end():
            tap.sync_all()

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Test the connection, or the schemas."""
        if value == CliTestOptionValue.Disabled.value:
            return
        config = ctx.params["config"]
        tap = cls(config=config.config, parse_env_config=config.parse_env)
        with tap.graceful_end():
            if value == CliTestOptionValue.Schema.value:
                tap.write_schemas()
            else:
                tap.run_connection_test()
        ctx.exit()

    def graceful_end(self) -> AbstractContextManager[None]:
        """Flush the output and write a last STATE however the run ends."""
        writer = cast("BufferedWriter", self.message_writer)
        return graceful_end(self._signals, self.sync_context, writer, lambda: self.state)

    @override
    def _setup_signal_handlers(self) -> None:
        """Leave signals alone until there is a run to end; the SDK handles them for every tap that is made."""

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        for option in command.params:
            if option.name in {"state", "catalog"}:
                option.type = click.Path()  # The SDK's type opens the file, and reports a missing one in three lines.
        return PaymentsCommand(
            name=command.name,
            callback=command.callback,
            params=command.params,
            help=command.help,
            context_settings=command.context_settings,
            logger=cls.logger,
        )
