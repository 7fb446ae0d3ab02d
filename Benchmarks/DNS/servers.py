"""The servers that dns.py compares, each in a network namespace in which dnsperf asks 127.0.0.1."""

import mmap
import os
import shutil
import socket
import struct
import subprocess
import time

REPOSITORY = os.path.realpath(f"{os.path.dirname(__file__)}/../..")
UPSTREAM = 15399
PEER = 15353


class Server:
    """A process under load: what it has used of the processor, all of its threads together."""

    namespace = None
    process = None

    def cpu_seconds(self):
        total = 0
        folder = f"/proc/{self.process.pid}/task"
        for task in os.listdir(folder):
            with open(f"{folder}/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def ask(self, names, seconds, inflight, code=None, sockets=4):
        """dnsperf's count of answers in some seconds. With a response code, all must have it: a refusal costs less than an answer."""
        output = subprocess.run(
            ["nsenter", f"--net={self.namespace}", "dnsperf", "-s", "127.0.0.1", "-d", names, "-l", str(seconds),
             "-c", str(sockets), "-q", str(inflight), "-t", "2"],
            capture_output=True, text=True, timeout=120, check=True).stdout
        codes = output.partition("Response codes:")[2].partition("\n")[0].strip()
        if code and not (codes.startswith(f"{code} ") and codes.endswith("(100.00%)")):
            raise RuntimeError(f"not all answers are {code}: {codes}")
        return int(output.partition("Queries completed:")[2].split()[0])

    def warm_up(self, names, inflight):
        """Returns when it has answered: some read a hundred thousand rules for longer than a second."""
        while not self.ask(names, 1, inflight):
            if self.process.poll() is not None:
                raise RuntimeError("the server has ended")


class Guard(Server):
    """The guard of one namespace, with all that a query passes: redirection, policy, kernel, events."""

    def __init__(self, folder, rules, cache, counting=False):
        environment = dict(os.environ)
        self.counter = None
        if counting:
            path = f"{folder}/allocations"
            with open(path, "wb") as file:
                file.write(bytes(4096))
            with open(path, "rb") as file:
                self.counter = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
            environment |= {"LD_PRELOAD": f"{folder}/allocations.so", "ALLOCATIONS": path}
        self.process = subprocess.Popen(
            [f"{os.environ.get('BUILD', REPOSITORY + '/.build/release')}/benchmark-dns", str(rules), str(4096 if cache else 0),
             f"127.0.0.1:{UPSTREAM}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.namespace = self.process.stdout.readline().strip()

    def allocations(self):
        return struct.unpack("Q", self.counter[:8])[0]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)


class Peer(Server):
    """A server that reads a configuration, in a namespace of its own with an upstream of its own and port 53 redirected."""

    def __init__(self, folder, name, configuration, command):
        self.name = f"spb-{name}-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        self.namespace = f"/run/netns/{self.name}"
        # Whoever filters a sandbox's names has to take them from whatever resolver it asks: as our guard does.
        subprocess.run(
            ["ip", "netns", "exec", self.name, "nft",
             "add table ip names; add chain ip names out { type nat hook output priority -100; }; "
             f"add rule ip names out udp dport 53 redirect to :{PEER}"], check=True)
        self.upstream = instant_upstream(folder, self.namespace)
        path = f"{folder}/{name}.conf"
        with open(path, "w") as file:
            file.write(configuration)
        self.process = subprocess.Popen(
            ["nsenter", f"--net={self.namespace}", *command, path], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)

    def stop(self):
        for process in [self.process, self.upstream]:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", self.name], check=True)


def instant_upstream(folder, namespace=None):
    """Answers every question at once with an address of the name's own, for a minute."""
    path = f"{folder}/upstream.conf"
    with open(path, "w") as file:
        file.write(f"""
setLocal("127.0.0.1:{UPSTREAM}")
addAction(QTypeRule(DNSQType.A), LuaAction(function (question)
    local number = tonumber(string.match(string.lower(question.qname:toString()), "zone%-(%d+)")) or 0
    return DNSAction.Spoof, "198.18." .. math.floor(number / 250) .. "." .. number % 250
end))
addAction(AllRule(), RCodeAction(DNSRCode.NOERROR))
""")
    enter = ["nsenter", f"--net={namespace}"] if namespace else []
    process = subprocess.Popen(
        [*enter, "dnsdist", "--supervised", "--disable-syslog", "-C", path],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    return process


def dnsdist(folder, rules, cache):
    """With as many suffixes as our policy has; 0 to pass everything on."""
    lines = [f'setLocal("127.0.0.1:{PEER}")', f'newServer("127.0.0.1:{UPSTREAM}")']
    if rules:
        lines += [
            "zones = newSuffixMatchNode()",
            f'for i = 0, {rules - 1} do zones:add(newDNSName("zone-" .. i .. ".example.")) end',
            "addAction(NotRule(SuffixMatchNodeRule(zones)), RCodeAction(DNSRCode.NXDOMAIN))",
        ]
    if cache:
        lines.append('getPool(""):setCache(newPacketCache(100000))')
    return Peer(folder, "dnsdist", "\n".join(lines) + "\n", ["dnsdist", "--supervised", "--disable-syslog", "-C"])


def unbound(folder, cache):
    """A forwarder without validation."""
    configuration = f"""
server:
    interface: 127.0.0.1@{PEER}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    do-not-query-localhost: no
    module-config: "iterator"
    num-threads: 1
    so-reuseport: no
    {'' if cache else 'cache-max-ttl: 0'}
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{UPSTREAM}
"""
    return Peer(folder, "unbound", configuration, ["unbound", "-d", "-c"])


def counting_library(folder):
    source = f"{REPOSITORY}/Benchmarks/DNS/allocations.c"
    subprocess.run([shutil.which("cc") or "clang", "-O2", "-shared", "-fPIC", "-o", f"{folder}/allocations.so", source],
                   check=True)
