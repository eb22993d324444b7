"""Mutants of secrets: where they may stand, where they go, what is kept of them, and what replacing the key costs."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

HIDING = "executions/secrets/hiding.py"
WRITTEN_OUT = "executions/secrets/written_out.py"
OPENING = "executions/secrets/opening.py"
PUBLISHING = "executions/secrets/publishing.py"
CLIENT = "executions/egress/client.py"
CONVERSATION = "executions/egress/conversation.py"
CHAIN = "executions/chain.py"
STEP = "executions/steps/http_request.py"
CREDENTIALS = "lightfield/access/credentials.py"
ROTATION = "lightfield/access/key_rotation.py"
RULES = "workflows/secret_rules.py"
TEXT = "workflows/secret_text.py"
PARTS = "workflows/templating/secret_parts.py"
RUNS = "test_secrets_in_runs.py"
API = "test_credentials.py"
UNIT = "unit/test_secret_text.py"

MUTANTS = (
    *breaking(
        "A secret stands only where it is sent, and nothing else can be done with it",
        planted(
            "secret-in-any-place",
            "any template of a step that takes secrets may hold one",
            edit(RULES, "if secret_names and not is_slot(_place(pointer), slots)", "if secret_names and not slots"),
            by=f"{UNIT}::test_any_other_place_is_refused_by_its_pointer",
        ),
        planted(
            "secret-through-a-filter",
            "filters behind a secret are left out without a word",
            edit(PARTS, "if expression.filters or type", "if type"),
            by=f"{UNIT}::test_nothing_can_be_done_with_a_secret_but_to_send_it",
        ),
        planted(
            "secret-as-an-argument",
            "a secret may be what a filter adds to something else",
            edit(PARTS, "if any(root == ROOT for root, _ in compiler.uses)", "if False"),
            by=f"{UNIT}::test_nothing_can_be_done_with_a_secret_but_to_send_it",
        ),
        planted(
            "reference-out-of-data",
            "a list in a payload passes for a reference",
            edit(
                TEXT,
                "return core_schema.is_instance_schema(cls, serialization=as_json)",
                "return core_schema.no_info_plain_validator_function(\n"
                "            lambda raw: cls.from_json(raw) if isinstance(raw, list) else raw\n        )",
            ),
            by=f"{UNIT}::test_data_that_looks_like_a_reference_stays_data",
        ),
    ),
    *breaking(
        "A secret goes to the hosts it is bound to, and nowhere else",
        planted(
            "secret-to-any-host",
            "the host is not looked at when a request is sent",
            edit(OPENING, "elif is_first:", "elif False:"),
            by=f"{RUNS}::test_a_host_out_of_a_template_is_judged_when_it_is_sent_and_nothing_leaves",
        ),
        planted(
            "secret-follows-redirects",
            "what was right for the first host is sent to the next",
            edit(
                CLIENT,
                "late_headers.for_hop(target, self._allow, is_first=hop == 0)",
                "late_headers.for_hop(parse_target(url, params), self._allow, is_first=True)",
            ),
            by=f"{RUNS}::test_a_redirect_to_a_host_that_it_is_not_bound_to_goes_without_it",
        ),
        planted(
            "auth-follows-redirects",
            "what is written out in auth is sent on to any origin",
            edit(OPENING, "if not header.text.names and target.origin != self._origin:", "if False:"),
            by="bugs/test_a_credential_under_a_name_of_its_own_followed_a_redirect.py::test_only_the_first_origin_gets_it",
        ),
        planted(
            "secret-in-clear",
            "http will do",
            edit(OPENING, 'target.scheme == "https" or allow.names(target)', "True"),
            by="unit/test_credential_hosts.py::test_only_that_very_host_and_port_by_https",
        ),
        planted(
            "host-added-without-the-value",
            "whoever may change a secret can send it anywhere",
            edit(CREDENTIALS, "(name != row.name or set(hosts) - set(row.hosts))", "(name != row.name)"),
            by=f"{API}::test_whoever_does_not_know_the_value_can_send_it_nowhere_else",
        ),
        planted(
            "row-not-bound-to-its-hosts",
            "a host written into the table is believed",
            edit(CREDENTIALS, " {' '.join(hosts)}", ""),
            by=f"{API}::test_a_row_that_was_changed_in_the_database_no_longer_opens",
        ),
        planted(
            "published-to-a-wrong-host",
            "publishing does not look where a secret goes",
            edit(PUBLISHING, "if target is not None and not is_bound", "if False and not is_bound"),
            by=f"{API}::test_a_host_that_is_known_is_judged_when_published_and_any_other_when_sent",
        ),
    ),
    *breaking(
        "No value of a secret is kept, told or logged",
        planted(
            "output-with-secrets",
            "what a receiver echoes is the step's output",
            edit(CHAIN, "hider.json(step_type.execute(self.request, context))", "step_type.execute(self.request, context)"),
            by=f"{RUNS}::test_the_receiver_gets_the_value_and_what_it_echoes_is_kept_without_it",
        ),
        planted(
            "errors-with-secrets",
            "errors are told as they are",
            edit(HIDING, "            hider.clean(error)\n", "            pass\n"),
            by="unit/test_hiding.py::test_an_error_of_an_attempt_says_nothing_of_what_was_opened_in_it",
        ),
        planted(
            "body-cut-first",
            "a body is cut and quoted before it is searched",
            edit(STEP, "answer, body=hiding.hidden(answer.body), headers", "answer, headers"),
            by=f"{RUNS}::test_outputs_of_any_kind_are_kept_without_it",
        ),
        planted(
            "header-cut-first",
            "a header is cut before it is searched",
            edit(STEP, ", headers=hiding.hidden_fields(answer.headers)", ""),
            by="bugs/test_half_a_secret_stood_at_the_end_of_a_cut_header.py::test_a_header_that_is_cut_within_it_shows_no_beginning",
        ),
        planted(
            "base64-at-its-beginning",
            "base64 is searched for only where the secret comes first",
            edit(HIDING, "for shift in range(3):", "for shift in range(1):"),
            by="unit/test_hiding.py::test_every_spelling_is_cut_out_of_text_json_and_bodies",
        ),
        planted(
            "traceback-with-secrets",
            "an error tracker sees the bytes that were sent",
            edit(CONVERSATION, "raw = Hidden(raw + protocol.send(h11.EndOfMessage()))", "raw = raw + protocol.send(h11.EndOfMessage())"),
            by=f"{RUNS}::test_no_traceback_with_its_variables_holds_it",
        ),
        planted(
            "value-in-the-form-again",
            "a form that is shown again has the value in it",
            edit("lightfield/access/credential_admin.py", "render_value=False, attrs", "render_value=True, attrs"),
            by="test_credentials_admin.py::test_a_form_that_is_shown_again_says_what_is_wrong_and_forgets_the_value",
        ),
    ),
    *breaking(
        "A secret that published workflows read stays, and a replaced value goes out no more",
        planted(
            "deleted-under-a-publish",
            "publishing holds nothing of the secrets it found",
            edit(CREDENTIALS, "WHERE name = ANY(%(names)s::varchar[]) FOR KEY SHARE", "WHERE name = ANY(%(names)s::varchar[])"),
            by=f"{API}::test_given_a_publish_that_is_not_through_then_a_delete_waits_for_it",
        ),
        planted(
            "deleted-in-use",
            "nobody asks who uses it",
            edit(CREDENTIALS, "    if not force:\n        _refuse_while_used(row)", "    if False:\n        _refuse_while_used(row)"),
            by=f"{API}::test_a_secret_that_is_used_is_not_deleted_unless_forced",
        ),
    ),
    *breaking(
        "Publishing warns of secrets that are written out in `api_key`, `auth` and headers, by their place and never by their value",
        planted(
            "issued-under-any-name",
            "what looks issued is not looked for",
            edit(WRITTEN_OUT, "    return _ISSUED.search(text) is not None", "    return False"),
            by="unit/test_written_out_secrets.py::test_what_looks_issued_is_warned_of_whatever_the_header_is_called",
        ),
        planted(
            "author-taken-for-a-secret",
            "any header whose name has a word like auth in it is warned of",
            edit(WRITTEN_OUT, "_NAMED.fullmatch(name[:200]) is not None", "re.search('auth|key|token', name, re.I) is not None"),
            by="unit/test_written_out_secrets.py::test_what_is_no_secret_or_names_one_is_not_warned_of",
        ),
    ),
    *breaking(
        "Sealing anew overwrites no edit, and says when the old key can go",
        planted(
            "rotation-overwrites",
            "what was read is sealed anew, whatever stands there by now",
            edit(ROTATION, '**{"pk": row.pk, column: row.ciphertext}', '**{"pk": row.pk}'),
            by="test_key_rotation.py::test_given_an_edit_between_its_reading_and_writing_then_the_edit_stays",
        ),
        planted(
            "rotation-forgets-a-column",
            "webhook addresses keep their old key, and it is said to be needed no more",
            edit("triggers/sealed.py", '"webhook addresses"', '"secrets"'),
            by="test_key_rotation.py::test_every_column_with_ciphertexts_is_known",
        ),
    ),
)  # fmt: skip
