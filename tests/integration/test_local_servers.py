"""The embedded servers: they survive a kill -9 of anything, and never open or trust what others could touch."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lightfield.local import programs
from lightfield.local.boot import ROOT, CannotStart
from lightfield.local.children import run_as, working_in
from lightfield.local.home import Home, InUse
from lightfield.local.postgres import Postgres
from lightfield.local.servers import Servers

is_root = os.geteuid() == 0


@pytest.fixture
def home():
    """A closed folder with a short name, below a closed folder: nobody but us can walk to it."""
    above = Path(tempfile.mkdtemp(prefix="lf-"))
    home = Home(above / "home one", root=Home.of_this_installation())
    home.path.mkdir(mode=0o700)
    yield home
    home.discard()
    shutil.rmtree(above)


def query(servers, statement):
    with psycopg.connect(servers.urls["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def pid_of(server):
    return server.child.pid


def redis_of(servers):
    return redis.Redis.from_url(servers.urls["REDIS_URL"])


def kill_and_wait(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()
    )


def wait_until(condition, seconds=10):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.01)


def test_given_servers_that_were_killed_when_started_again_then_data_address_and_password_are_the_same(home):
    with Servers(home) as servers:
        urls = servers.urls
        query(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        redis_of(servers).set("kept", "yes")
        redis_of(servers).execute_command("BGREWRITEAOF")
        wait_until(lambda: not redis_of(servers).info("persistence")["aof_rewrite_in_progress"])
        for server in servers.running:
            kill_and_wait(pid_of(server))

        with Servers(home) as again:
            assert again.urls == urls
            assert query(again, "SELECT answer FROM kept") == (42,)
            assert redis_of(again).get("kept") == b"yes"


def test_the_application_role_is_no_superuser_but_may_make_test_databases(home):
    with Servers(home, redis=False) as servers:
        row = query(servers, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
        assert row == (False, True)
        assert query(servers, "SHOW max_connections") == ("100",)
        assert query(servers, "SHOW fsync") == ("on",)
        assert query(servers, "SELECT upper('é')") == ("É",)


def test_redis_is_on_loopback_below_the_kernels_own_ports_with_a_password_and_never_evicts(home):
    with Servers(home, postgres=False) as servers:
        connection = redis_of(servers)
        port = connection.connection_pool.connection_kwargs["port"]
        assert 1024 < port < 32768
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, retry=Retry(NoBackoff(), 0)).ping()
        settings = connection.config_get("*")
        assert settings["maxmemory-policy"] == "noeviction"
        assert (settings["appendonly"], settings["appendfsync"], settings["bind"]) == (
            "yes",
            "everysec",
            "127.0.0.1",
        )
        command_line = Path(f"/proc/{pid_of(servers.running[0])}/cmdline").read_bytes().decode()
        assert connection.connection_pool.connection_kwargs["password"] not in command_line


def test_given_a_lock_file_that_names_a_living_stranger_when_started_then_postgres_starts(home):
    with Servers(home, redis=False, durable=False) as servers:
        kill_and_wait(pid_of(servers.running[0]))
    pid_file = home.path / "postgres" / "postmaster.pid"
    stranger = str(os.getpid())  # a reused number: a living process that is no server
    pid_file.write_text("\n".join([stranger, *pid_file.read_text().split("\n")[1:]]))
    (home.path / "postgres" / ".s.PGSQL.5432.lock").write_text(f"{stranger}\n/elsewhere\n")

    with Servers(home, redis=False, durable=False) as servers:
        assert query(servers, "SELECT 1") == (1,)


def test_given_servers_that_outlived_their_supervisor_when_started_then_they_are_ended_first(home):
    """Started by a parent that dies at once and without a death signal, as on macOS."""
    with Servers(home):
        pass
    server = Postgres(home)
    start: list[str | Path] = [
        server.program,
        "-D",
        "/proc/self/cwd",
        "-c",
        "unix_socket_directories=/proc/self/cwd",
    ]
    made = run_as(
        server.account,
        ["/bin/sh", "-c", '"$@" >/dev/null 2>&1 & echo $!', "sh", *start, "-c", "listen_addresses="],
        cwd=server.data,
        environ={"PATH": os.defpath},
    )
    orphan = int(made.stdout)
    wait_until(lambda: (server.data / "postmaster.pid").exists())
    assert orphan in working_in(server.data, ["postgres"])

    with Servers(home, durable=False) as servers:
        assert query(servers, "SELECT 1") == (1,)
        assert orphan not in working_in(server.data, ["postgres"])


def test_given_a_cluster_that_was_half_made_when_started_then_a_whole_one_is_made(home):
    half = home.folder("postgres.new")
    (half / "PG_VERSION").write_text("18\n")
    (half / "base").mkdir()

    with Servers(home, redis=False, durable=False) as servers:
        assert query(servers, "SELECT current_database()") == ("lightfield",)
    assert not half.exists()


def test_given_a_running_supervisor_when_a_second_one_comes_then_it_is_refused_and_the_first_unharmed(home):
    with home.exclusively("bin/up"), Servers(home, redis=False, durable=False) as servers:
        with (
            pytest.raises(InUse, match=rf"bin/up \(pid {os.getpid()}\) is using"),
            home.exclusively("bin/up"),
        ):
            pytest.fail("two at once")
        assert query(servers, "SELECT 1") == (1,)


def test_given_a_supervisor_that_is_killed_then_its_servers_are_gone_at_once(home):
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from lightfield.local.home import Home
        from lightfield.local.servers import Servers
        with Servers(Home(Path(sys.argv[1]), root=Home.of_this_installation())) as servers:
            print("up", flush=True)
            time.sleep(60)
    """)
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, home.path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    with supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"up\n"
        pids = [int(home.pid_file(name).read_text()) for name in ("postgres", "redis")]
        supervisor.kill()

    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), seconds=5)


def test_given_a_taken_port_when_started_then_another_one_is_kept(home):
    with Servers(home, postgres=False) as servers:
        first = servers.urls["REDIS_URL"]
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", int(first.rpartition(":")[2].removesuffix("/0"))))
        stranger.listen()
        with Servers(home, postgres=False) as servers:
            second = servers.urls["REDIS_URL"]
            assert redis_of(servers).ping()

    assert second != first
    with Servers(home, postgres=False) as servers:
        assert servers.urls["REDIS_URL"] == second


def test_given_a_path_too_long_for_a_socket_then_postgres_is_reached_through_a_private_link(home):
    deep = Home(home.path / ("a" * 60) / ("b" * 60), root=home.root)
    deep.path.mkdir(parents=True)
    with Servers(deep, redis=False, durable=False) as servers:
        assert query(servers, "SHOW fsync") == ("off",)
        link = Path(servers.urls["DATABASE_URL"].partition("host=")[2])
        assert link.readlink() == deep.path / "postgres"
        assert link.parent.stat().st_mode & 0o777 == 0o700

        link.parent.chmod(0o777)  # somebody else could have put something there: no longer trusted
        assert Postgres(deep).url != servers.urls["DATABASE_URL"]
    link.unlink()
    link.parent.rmdir()
    deep.discard()


def test_given_a_server_that_cannot_start_then_one_line_says_why(home):
    with Servers(home, redis=False, durable=False):
        pass
    (home.path / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")

    with (
        pytest.raises(CannotStart, match=r"postgres cannot start: .*no_such_setting") as refused,
        Servers(home),
    ):
        pytest.fail("it started")
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not is_root, reason="as an ordinary user the servers run as that user")
def test_given_root_and_a_closed_home_then_the_servers_run_as_an_account_of_their_own_on_data_at_home(home):
    modes = {path: path.stat().st_mode for path in (home.path, home.path.parent)}
    with Servers(home, durable=False) as servers:
        account = programs.server_account(home)
        assert account is not None
        for server in servers.running:
            status = Path(f"/proc/{pid_of(server)}/status").read_text()
            assert f"Uid:\t{account.uid}\t{account.uid}\t{account.uid}" in status
            assert (home.path / server.name).stat().st_uid == account.uid
    assert {path: path.stat().st_mode for path in modes} == modes


@pytest.mark.skipif(not is_root, reason="only root needs copies of the programs")
def test_given_programs_behind_a_closed_folder_then_root_runs_a_copy_that_only_root_can_write(home):
    closed = home.folder("closed")
    shutil.copytree(programs.valkey().folder, closed / "valkey")
    hidden = programs.Programs(closed / "valkey", "valkey-server", ("valkey-server",))
    own = Home(home.folder("own"))  # whose copies go when it goes
    account = programs.server_account(own)
    try:
        copied = programs.reachable(own, account, hidden)
        assert copied.parent.stat().st_uid == 0
        assert copied.parent.stat().st_mode & 0o777 == 0o755
        assert programs.reachable(own, account, hidden) == copied

        copied.unlink()  # as a cleaner of /var/tmp does
        assert programs.reachable(own, account, hidden).exists()

        again = programs.reachable(own, account, hidden)
        again.parent.chmod(0o777)
        assert programs.reachable(own, account, hidden).parent != again.parent
    finally:
        for folder in Path("/var/tmp").glob("lightfield-*"):
            if str(closed) in (folder / ".complete").read_text():
                shutil.rmtree(folder)
        own.discard()


def test_passwords_are_chosen_once_and_readable_by_their_owner_only(home):
    first = home.keep("a_password", lambda: secrets.token_urlsafe(8))

    assert home.keep("a_password", lambda: "another") == first
    assert (home.path / "kept.json").stat().st_mode & 0o777 == 0o600
