"""How schedules look in the API: what fired, and what will."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from triggers.schedules.preview import ClockMark


class TickSerializer(serializers.Serializer[Any]):
    due_at = serializers.DateTimeField(read_only=True)
    fired_at = serializers.DateTimeField(read_only=True)
    late_by_seconds = serializers.FloatField(read_only=True)
    event_id = serializers.UUIDField(read_only=True, help_text="Its run is at /events/{id}.")


class InstantSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField(read_only=True, help_text="UTC.")
    local = serializers.CharField(
        read_only=True,
        help_text="The same in the schedule's zone, with its offset.",
    )
    clock = serializers.ChoiceField(
        [mark.value for mark in ClockMark],
        read_only=True,
        allow_null=True,
        help_text="What a change of the clock does to it.",
    )
    detail = serializers.CharField(read_only=True, help_text="The same as a sentence; empty without one.")


class SchedulePreviewSerializer(serializers.Serializer[Any]):
    config = serializers.JSONField(read_only=True)
    instants = InstantSerializer(
        many=True, read_only=True, help_text="The next ten, or as many as there are."
    )
