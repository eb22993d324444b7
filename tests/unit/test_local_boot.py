"""lightfield/local/boot.py: the virtual environment is made once, repaired when broken, and never twice at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightfield.local import boot


@pytest.fixture
def empty_requirements(tmp_path, monkeypatch):
    """Requirements that need no index: nothing to install, and a uv that cannot be had."""
    nothing = tmp_path / "requirements.txt"
    nothing.write_text("")
    monkeypatch.setattr(boot, "REQUIREMENTS", {"runtime": nothing, "dev": nothing})
    monkeypatch.setattr(boot, "UV_REQUIREMENT", tmp_path / "no-uv.txt")
    return nothing


@pytest.fixture
def home(tmp_path):
    return tmp_path


def test_given_a_stamped_venv_when_asked_again_then_nothing_is_installed(
    empty_requirements, home, tmp_path, capfd
):
    python = boot.ensure_installed(home, ("runtime",))
    assert "uv cannot install here" in capfd.readouterr().err  # pip did it
    assert subprocess.run([python, "-c", "import sys; assert sys.prefix != sys.base_prefix"]).returncode == 0

    assert boot.ensure_installed(home, ("runtime",)) == python
    assert capfd.readouterr().err == ""

    # When the requirements change, or the folder was copied, then the stamp no longer counts
    empty_requirements.write_text("# changed\n")
    assert not boot.is_installed(home / "venv", "runtime")
    empty_requirements.write_text("")
    (home / "venv").rename(tmp_path / "elsewhere")
    assert not boot.is_installed(tmp_path / "elsewhere", "runtime")


def test_given_a_broken_venv_when_started_again_then_it_is_made_anew(empty_requirements, home):
    # Given an installation that was killed half-way
    (home / "venv" / "bin").mkdir(parents=True)
    (home / "venv" / "bin" / "python").write_text("not a Python")
    (home / "venv" / "leftover").touch()
    python = boot.ensure_installed(home, ("runtime",))
    assert subprocess.run([python, "-c", ""]).returncode == 0
    assert not (home / "venv" / "leftover").exists()

    # Given a Python that was removed from the machine
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert not boot.is_installed(home / "venv", "runtime")
    assert subprocess.run([boot.ensure_installed(home, ("runtime",)), "-c", ""]).returncode == 0


def test_given_an_installation_under_way_when_a_second_caller_comes_then_it_waits(home):
    waiting = "from pathlib import Path; from lightfield.local import boot\nwith boot.installing(Path('.')): print('in')"
    with boot.installing(home):
        second = subprocess.Popen(
            [sys.executable, "-c", waiting],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(boot.ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        told = second.stderr.readline()
        assert second.poll() is None
    out, _ = second.communicate(timeout=20)

    assert "waiting for another installation" in told
    assert out == "in\n"


def test_home_is_made_closed_to_others(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTFIELD_HOME", str(tmp_path / "new" / "home"))

    home = boot.home_folder()

    assert home.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)


def test_home_that_others_can_write_is_refused(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("LIGHTFIELD_HOME", str(shared))

    with pytest.raises(boot.CannotStart, match="can be written by others"):
        boot.home_folder()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_home_of_another_user_is_refused(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    monkeypatch.setenv("LIGHTFIELD_HOME", str(theirs))

    with pytest.raises(boot.CannotStart, match="belongs to another user"):
        boot.home_folder()


def test_home_that_cannot_be_made_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIGHTFIELD_HOME", str(tmp_path / "file" / "home"))

    with pytest.raises(boot.CannotStart, match="set LIGHTFIELD_HOME"):
        boot.home_folder()


def test_given_a_checkout_of_somebody_else_then_only_commands_that_need_nothing_of_it_move(
    tmp_path, monkeypatch, capfd
):
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".lightfield").touch()  # in the way, as another user's folder would be
    monkeypatch.setattr(boot, "ROOT", tmp_path / "checkout")
    monkeypatch.delenv("LIGHTFIELD_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    with pytest.raises(boot.CannotStart):
        boot.home_folder()
    moved = boot.home_folder(may_move=True)

    assert moved.parent == tmp_path / "cache"
    assert f"using {moved} meanwhile" in capfd.readouterr().err
    assert boot.home_folder(may_move=True) == moved


def a_bin_command(*command, cwd, **environ):
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60
    )


def test_given_an_unfit_python_then_bin_says_so_in_one_line(tmp_path):
    old = tmp_path / "old python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    done = a_bin_command(boot.ROOT / "bin" / "manage", cwd=tmp_path, LIGHTFIELD_PYTHON=str(old))

    assert done.returncode == 1
    assert done.stderr == f"lightfield: LIGHTFIELD_PYTHON={old} is not a Python 3.11, 3.12, 3.13 or 3.14.\n"


def test_given_a_symlink_in_a_folder_with_spaces_when_called_from_elsewhere_then_bin_finds_its_checkout(
    tmp_path,
):
    link = tmp_path / "a link" / "manage"
    link.parent.mkdir()
    link.symlink_to(boot.ROOT / "bin" / "manage")
    blocked = tmp_path / "file"
    blocked.touch()

    done = a_bin_command(
        link, cwd=link.parent, LIGHTFIELD_PYTHON=sys.executable, LIGHTFIELD_HOME=str(blocked / "home")
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"lightfield: cannot make {Path(blocked)}/home")
