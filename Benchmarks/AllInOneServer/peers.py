"""What the server is measured against: the bare OCI runtime, Docker, and posix_spawn."""

import json
import os
import shutil
import subprocess
import time

HYBRID = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\""


def bare_runtime(bundle_of_ours, folder, number):
    """Seconds that `crun run` of true takes in a bundle like ours, with an empty network of its own."""
    with open(f"{bundle_of_ours}/config.json") as file:
        config = json.load(file)
    config["process"]["args"] = ["/bin/true"]
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]
    config["linux"]["cgroupsPath"] = f"/sallyport-benchmark/{number}"
    bundle = f"{folder}/bundle"
    os.makedirs(bundle, exist_ok=True)
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(config, file)
    command = ["unshare", "-m", "sh", "-c", HYBRID, "sh", "crun", "run", "--bundle", bundle, f"benchmark-{number}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def spawn(count=200):
    """Seconds of each posix_spawn and wait of true."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        times.append(time.perf_counter() - start)
    return times


class Docker:
    """A dockerd of its own, without a network, that ends with the benchmark."""

    def __init__(self, folder, root):
        self.count = 0
        self.folder = f"{folder}/docker"
        os.makedirs(self.folder)
        self.host = f"unix://{self.folder}/docker.sock"
        self.process = subprocess.Popen(
            ["dockerd", "--host", self.host, "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec",
             "--pidfile", f"{self.folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"],
            stdout=open(f"{self.folder}/log", "w"), stderr=subprocess.STDOUT)
        for _ in range(200):
            if self.docker("info", check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(open(f"{self.folder}/log").read()[-2000:])
        tar = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "-H", self.host, "import", "-", "base"], stdin=tar.stdout, check=True,
                       stdout=subprocess.DEVNULL)
        tar.wait()

    def docker(self, *arguments, check=True):
        return subprocess.run(["docker", "-H", self.host, *arguments], check=check, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)

    def run(self):
        """Seconds of `docker run` until the container is up."""
        self.count += 1
        start = time.perf_counter()
        self.docker("run", "--detach", "--name", f"peer-{self.count}", "--network", "none", "base", "sleep", "3600")
        return time.perf_counter() - start

    def settle(self):
        """Takes the containers away."""
        names = [f"peer-{number}" for number in range(1, self.count + 1)]
        self.docker("rm", "--force", *names, check=False)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        subprocess.run(["sh", "-c", f"grep -o '{self.folder}[^ ]*' /proc/mounts | xargs -r umount -l"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
