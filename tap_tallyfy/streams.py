"""The streams, one class each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from typing_extensions import override

from tap_tallyfy.api.listing import ARCHIVED, Listing, is_archived, is_completed
from tap_tallyfy.reading.paginator import Order
from tap_tallyfy.records import forms as answers
from tap_tallyfy.records.nested import comments_of, folders_of, newest_comment, steps_of
from tap_tallyfy.singer.list_stream import ListStream
from tap_tallyfy.singer.nested_stream import RowStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Tap
    from singer_sdk.singerlib.catalog import MetadataMapping

    from tap_tallyfy.api.client import Client
    from tap_tallyfy.reading.page import Record
    from tap_tallyfy.singer.progress import Progress

#: Tasks and templates know one way to ask for archived ones.
_ONLY_ARCHIVED: Final = Listing(({"archived": "only"},), archived=True, holds=is_archived)


class RunsStream(ListStream):
    """Processes (`runs` in the API), launched from templates."""

    name = "runs"
    path = "/organizations/{org_id}/runs"
    replication_key = "last_updated"
    archived = ARCHIVED
    # The API knows one of the two names at most.
    by_change = (Order("-last_updated", "last_updated"), Order("-updated_at", "last_updated"))


class KickoffAnswersStream(RowStream):
    """Answers of the kick-off forms of processes."""

    name = "kickoff_answers"
    head = RunsStream
    row = "KickoffAnswer"
    primary_keys = ("org_id", "run_id", "field_id")
    replication_key = "last_updated"
    sources = ("prerun", "checklist_id", "last_updated")
    made_by = answers.kickoff_answers


class TasksStream(ListStream):
    """Tasks of processes, and one-off tasks."""

    name = "tasks"
    path = "/organizations/{org_id}/tasks"
    replication_key = "last_updated"
    archived = _ONLY_ARCHIVED
    # No source says whether a list without a status holds these.
    doubts = (
        Listing(({"status": "complete"}, {"status": "completed"}), holds=is_completed),
        Listing(({"status": "auto-skipped"},), holds=lambda task: task.get("status") == "auto-skipped"),
    )
    by_creation = (Order("newest", "created_at"), Order("-created_at", "created_at"))
    decided = frozenset({"sort"})

    @override
    def changed_at(self, record: Record) -> str | None:
        # Nobody knows which of these move `last_updated`.
        moments = [record.get(name) for name in ("last_updated", "completed_at", "archived_at")]
        return max(filter(None, [*moments, newest_comment(record)]), default=None)


class TaskAnswersStream(RowStream):
    """Answers of the forms of tasks."""

    name = "task_answers"
    head = TasksStream
    row = "TaskAnswer"
    primary_keys = ("org_id", "task_id", "field_id")
    replication_key = "last_updated"
    sources = ("taskdata", "run_id", "checklist_id", "step_id", "last_updated")
    made_by = answers.task_answers


class CommentsStream(RowStream):
    """Comments and issues on tasks; not selected by default, since they make the pages of tasks heavy."""

    name = "comments"
    head = TasksStream
    row = "TaskComment"
    primary_keys = ("org_id", "id")
    replication_key = "task_last_updated"
    needs = ("threads",)
    sources = ("run_id", "last_updated")
    made_by = comments_of
    selected_by_default = False


class ChecklistsStream(ListStream):
    """Templates, which the API calls checklists."""

    name = "checklists"
    path = "/organizations/{org_id}/checklists"
    archived = _ONLY_ARCHIVED
    # Pinned templates come before all others, whatever the order.
    by_creation = ()
    sort_parameter = "sort_by"
    decided = frozenset({"sort_by"})


class StepsStream(RowStream):
    """Steps of templates."""

    name = "steps"
    head = ChecklistsStream
    row = "Step"
    primary_keys = ("org_id", "id")
    needs = ("steps",)
    made_by = steps_of


class FormFieldsStream(RowStream):
    """Form fields of templates: those of their kick-off forms, and those of their steps."""

    name = "form_fields"
    head = ChecklistsStream
    row = "TemplateField"
    primary_keys = ("org_id", "id")
    needs = ("steps",)
    sources = ("prerun",)
    made_by = answers.form_fields


class UsersStream(ListStream):
    """Members of the organization, whatever their status."""

    name = "users"
    path = "/organizations/{org_id}/users"
    decided = frozenset({"sort"})


class GroupsStream(ListStream):
    """Groups of members and guests."""

    name = "groups"
    path = "/organizations/{org_id}/groups"
    sort_parameter = "sort_by"
    whole_parameters = {}
    decided = frozenset({"sort_by"})


class TagsStream(ListStream):
    """Tags, those that Tallyfy makes itself among them."""

    name = "tags"
    path = "/organizations/{org_id}/tags"
    parameters = {"all": "true"}
    by_creation = ()
    whole_parameters = {}
    decided = frozenset({"all", "sort"})


class GuestsStream(ListStream):
    """Guests, without the links by which they get in."""

    name = "guests"
    path = "/organizations/{org_id}/guests"
    primary_keys = ("org_id", "email")
    decided = frozenset({"sort"})


class FoldersStream(ListStream):
    """Folders of templates and folders of processes, those inside others as rows of their own."""

    name = "folders"
    path = "/organizations/{org_id}/folders"
    lists = tuple(Listing(({"folder_type": kind},), fields={"folder_type": kind}) for kind in ("checklist", "run"))
    by_creation = ()
    always_with = ("children",)
    whole_parameters = {"pagination": "false"}
    whole_first = True
    decided = frozenset({"folder_type", "pagination", "parent_id", "sort"})

    def __init__(self, tap: Tap, client: Client, progress: Progress) -> None:
        """Make a stream of a tap.

        Args:
            tap: The tap.
            client: What sends the requests of all streams.
        """
        super().__init__(tap, client, progress)
        self._latest: dict[str, bytes] = {}

    @override
    def rows(self, record: Record, floor: str) -> Iterator[Record]:
        for folder in folders_of(record, self.parser, set()):
            for row in super().rows(folder, floor):
                # A server that lists every folder shows those inside others twice.
                encoded = msgspec.json.encode(row)
                if self._latest.get(row["id"]) != encoded:
                    self._latest[row["id"]] = encoded
                    yield row


class ActivityFeedStream(ListStream):
    """Who did what, and when; not selected by default, since only an administrator's token sees all of it."""

    name = "activity_feed"
    path = "/organizations/{org_id}/activity-feeds"
    replication_key = "created_at"
    append_only = True
    # Entries never change, so the newest are those created last.
    by_change = (Order("-created_at", "created_at"),)
    since_parameter = "created_after"
    wrapped = ("actor", "audit", "parent", "origin", "audit_state", "parent_state")
    decided = frozenset({"sort"})
    selected_by_default = False

    @override
    def changed_at(self, record: Record) -> str | None:
        return record.get("created_at")

    @property
    @override
    def metadata(self) -> MetadataMapping:
        """Return what may be selected: what is heavy and personal is left out unless it is chosen."""
        metadata = super().metadata
        for name in self.wrapped:
            if described := metadata.get(("properties", name)):
                described.selected_by_default = False
        return metadata


STREAMS: Final[tuple[type[ListStream | RowStream], ...]] = (
    RunsStream,
    KickoffAnswersStream,
    TasksStream,
    TaskAnswersStream,
    CommentsStream,
    ChecklistsStream,
    StepsStream,
    FormFieldsStream,
    UsersStream,
    GroupsStream,
    TagsStream,
    GuestsStream,
    FoldersStream,
    ActivityFeedStream,
)
