"""`{% break %}` inside `{% capture %}` left the loop, and with it went all that the template had written so far."""

from workflows.expressions import render


def test_what_was_written_before_stays_and_nothing_was_captured():
    source = "a{% for i in (1..2) %}b{% capture x %}c{% break %}{% endcapture %}{% endfor %}d{{ i | default: 'e' }}"

    assert render(source, {}) == "abde"
