import os, time, httpx, threading, statistics
from pathlib import Path
import pytest
from opensandbox.models.execd import RunCommandOpts
from support.inside import say
from support.leftovers import name_of
from support.waiting import eventually
from test_memory import STORM, small, first_process, processes

CPU = Path("/sys/fs/cgroup/cpu/sallyport")

@pytest.mark.parametrize("n", range(int(os.environ.get("STORMS", "6"))))
@pytest.mark.parametrize("variant", os.environ.get("VARIANTS", "asis,parts").split(","))
def test_storm(small, first_process, variant, n):
    first_process(small)
    group = CPU / name_of(small.id)
    if variant in ("parts", "nolimit"):
        (group / "cpu.cfs_quota_us").write_text("-1")
    if variant == "nolimit":
        (group / "programs/cpu.cfs_quota_us").write_text("-1")
    endpoint = small.get_endpoint(44772)
    times = []; stop = threading.Event()
    def pings():
        with httpx.Client() as client:
            while not stop.is_set():
                at = time.monotonic()
                try: client.get(f"http://{endpoint.endpoint}/ping", headers=endpoint.headers, timeout=120)
                except Exception as e: times.append((at, -1)); continue
                times.append((at, time.monotonic() - at)); time.sleep(0.02)
    t = threading.Thread(target=pings); t.start()
    MEM = Path("/sys/fs/cgroup/memory/sallyport") / name_of(small.id) / "programs"
    PID = Path("/sys/fs/cgroup/pids/sallyport") / name_of(small.id) / "programs/pids.current"
    log = []
    def sample():
        b = time.monotonic()
        while not stop.is_set():
            o = (MEM / "memory.oom_control").read_text().split()
            log.append((round(time.monotonic() - b, 1), "under", o[3], "kills", o[5], "pids", PID.read_text().strip(), "fail", (MEM / "memory.failcnt").read_text().strip(), "use", int((MEM / "memory.usage_in_bytes").read_text()) >> 20))
            time.sleep(0.5)
    s2 = threading.Thread(target=sample); s2.start()
    t0 = time.monotonic()
    started = small.commands.run(STORM, opts=RunCommandOpts(background=True))
    def ended():
        s = small.commands.get_command_status(started.id)
        return not s.running and s
    eventually(ended, within=180, what="end")
    end = time.monotonic() - t0
    eventually(lambda: processes(small) < 10, within=180, what="the storm's end")
    all_end = time.monotonic() - t0
    stop.set(); t.join(); s2.join()
    if os.environ.get("LOGS"):
        for l in log[:: max(1, len(log) // 60)]: print(*l)
    d = sorted(x for _, x in times)
    stat = (group / "execd/cpu.stat").read_text().replace("\n", " ")
    wstat = (group / "cpu.stat").read_text().replace("\n", " ")
    print(f"STORM {variant} pings {len(d)} median {statistics.median(d)*1000:.1f}ms max {d[-1]:.2f}s >1s {sum(x>1 for x in d)} ended {end:.1f}s all {all_end:.1f}s execd {stat} whole {wstat}")


def test_dump(small, appliance):
    import shutil
    folder = appliance.state / "sandboxes" / name_of(small.id)
    shutil.rmtree("/tmp/dump", ignore_errors=True)
    shutil.copytree(folder / "bundle", "/tmp/dump", symlinks=True, ignore=lambda d, n: [x for x in n if x in ("rootfs","merged","upper","work")])
    print(os.listdir(folder), os.listdir(folder/"bundle"))
