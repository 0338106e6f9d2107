"""A Dockerfile's steps where there is no container engine: each stage is a chroot, each RUN happens in it, as root, in namespaces of
its own. Knows what deploy/Dockerfile uses, and fails on anything else rather than pass over it.

    image = build(path)              image.root, image.user, image.command
    with Container(image, mounts) as c: c.pid; c.run("sluice", "status")

A stage up to an `apt-get` is kept in build/cache as long as nothing before it changed (as an engine keeps layers). Needs root.
"""
import fnmatch
import glob
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile

from sluice import ROOT

CACHE = os.path.join(ROOT, "build", "cache")
BASES = {"debian:bookworm-slim": "bookworm"}


class Missing(Exception):
    """What a test needs is not on this machine; the words say what."""


def sh(script, *words, seconds=900, **kw):
    done = subprocess.run(["sh", "-euc", script, "sh", *words], capture_output=True, text=True, timeout=seconds, **kw)
    if done.returncode != 0:
        raise AssertionError("%s\nended with %d\n%s%s" % (script, done.returncode, done.stdout[-2000:], done.stderr[-2000:]))
    return done.stdout


def unshare():
    """Namespaces of its own for what follows. Where this machine is itself a chroot its root is no mount whose propagation could be
    changed: then mounts may come to be known outside, and `forget` takes them away."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if subprocess.run(command + ["true"], capture_output=True).returncode != 0:
        command.append("--propagation=unchanged")
    return command


def forget(root):
    """Removes a root; never what is mounted in it."""
    if not root:
        return
    with open("/proc/self/mountinfo") as f:
        mounts = [line.split()[4] for line in f]
    for m in sorted((m for m in mounts if m == root or m.startswith(root + "/")), reverse=True):
        subprocess.run(["umount", "-l", m], capture_output=True)
    subprocess.run(["rm", "-rf", "--one-file-system", root], capture_output=True)


def missing():
    if os.getuid() != 0:
        return "not root"
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("setpriv", "util-linux"), ("chroot", "coreutils")):
        if not shutil.which(program):
            return "%s is not here (apt-get install %s)" % (program, package)
    if subprocess.run(unshare() + ["true"], capture_output=True).returncode != 0:
        return "namespaces cannot be made here"
    return None


# ---- the base ----

def archive_settings(root):
    """The way to Debian's archive that this machine goes, for as long as packages are installed."""
    for f in ["/etc/resolv.conf", "/etc/hosts", *glob.glob("/etc/apt/sources.list"), *glob.glob("/etc/apt/sources.list.d/debian*")]:
        if os.path.exists(f):
            shutil.copy(f, root + f)
    for f in glob.glob("/etc/apt/apt.conf.d/*"):
        if "Acquire::" in open(f, errors="replace").read():
            shutil.copy(f, root + "/etc/apt/apt.conf.d/")


def base(name):
    """A tar of the base image, as debootstrap makes it."""
    suite = BASES[name]
    tar = os.path.join(CACHE, "base-%s.tar" % suite)
    if not os.path.exists(tar):
        os.makedirs(CACHE, exist_ok=True)
        root = tempfile.mkdtemp(prefix="sluice-base-")
        try:
            sh('debootstrap --variant=minbase "$1" "$2" >"$2.log" 2>&1 || { tail -5 "$2.log" "$2/debootstrap/debootstrap.log"; exit 1; }', suite, root)
            archive_settings(root)
            os.unlink(root + ".log")
            sh('rm -rf "$1"/var/cache/apt/archives/*.deb; tar -C "$1" -cf "$2.part" . && mv "$2.part" "$2"', root, tar)
        finally:
            forget(root)
    return tar


# ---- a Dockerfile ----

def instructions(path):
    text = "".join(line for line in open(path) if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [line.strip().split(None, 1) for line in text.splitlines() if line.strip()]


def context():
    """What .dockerignore leaves: a list of what there is, none of it hidden."""
    lines = [line.strip() for line in open(os.path.join(ROOT, ".dockerignore")) if line.strip()]
    assert lines[0] == "*" and all(line[0] == "!" for line in lines[1:]), "only * and !name are known"
    return [line[1:] for line in lines[1:]]


def context_files(pattern):
    allowed = context()
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [f for f in out.splitlines() if f.split("/")[0] in allowed and os.path.exists(os.path.join(ROOT, f))]
    found = files if pattern == "." else [f for f in files if fnmatch.fnmatch(f, pattern) or f.startswith(pattern + "/")]
    assert found, "COPY %s: nothing of that name in the context" % pattern
    return found


class Stage:
    def __init__(self, image):
        self.base, self.root, self.workdir, self.steps = image, None, "/", [image]
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.user, self.entrypoint, self.cmd, self.ports = "0", [], [], []
        self.pending = []  # what is to be done before the next RUN: nothing is unpacked for steps that a kept layer has

    def key(self):
        return hashlib.sha256(json.dumps(self.steps).encode()).hexdigest()[:16]

    def unpack(self, tar=None):
        if not self.root:
            self.root = tempfile.mkdtemp(prefix="sluice-stage-")
            sh('tar -C "$1" -xpf "$2"; chmod 755 "$1"', self.root, tar or base(self.base))

    def inside(self, path):
        return os.path.join(self.root, os.path.join(self.workdir, path).lstrip("/"))

    def copy(self, words, stages):
        source, target = None, words[-1]
        if words[0].startswith("--from="):
            source, words = stages[words[0][7:]], words[1:]
        assert len(words) == 2 and not words[0].startswith("--"), words
        if source:
            source.unpack()
            os.makedirs(os.path.dirname(self.inside(target)), exist_ok=True)
            shutil.copy(source.inside(words[0]), self.inside(target))
            return
        for f in context_files(words[0]):
            to = self.inside(os.path.join(target, f) if words[0] == "." else target)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy(os.path.join(ROOT, f), to)

    def run(self, command):
        os.makedirs(self.inside("."), exist_ok=True)
        environment = " ".join("%s=%s" % (k, shlex.quote(v)) for k, v in self.env.items())
        sh('''exec %s sh -euc '
            mount --bind "$1" "$1"; mount --make-private "$1"; mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"
            exec chroot "$1" env -i HOME=/root DEBIAN_FRONTEND=noninteractive %s sh -c "cd \\"$2\\" && $3"' sh "$1" "$2" "$3"'''
           % (" ".join(unshare()), environment), self.root, self.workdir, command)


def build(path):
    """Returns the last stage, built."""
    stages, stage, made = {}, None, []
    for word, rest in instructions(path):
        if word == "FROM":
            words = rest.split()
            stage = Stage(words[0])
            made.append(stage)
            stages[words[2] if len(words) == 3 and words[1].upper() == "AS" else len(stages)] = stage
            continue
        stage.steps.append([word, rest])
        if word == "COPY":
            words = rest.split()
            if not words[0].startswith("--from="):
                stage.steps.append([hashlib.sha256(open(os.path.join(ROOT, f), "rb").read()).hexdigest() for f in context_files(words[0])])
            stage.pending.append(lambda s=stage, w=words: s.copy(w, stages))
        elif word == "RUN":
            flush_run(stage, rest)
        elif word == "WORKDIR":
            stage.workdir = rest
            stage.pending.append(lambda s=stage, at=rest: os.makedirs(s.root + at, exist_ok=True))
        elif word == "USER":
            stage.user = rest
        elif word in ("ENTRYPOINT", "CMD"):
            setattr(stage, word.lower(), json.loads(rest))
        elif word == "EXPOSE":
            stage.ports += [int(p) for p in rest.split()]
        elif word != "STOPSIGNAL":
            raise AssertionError("%s: what %s means is not known here" % (path, word))
    finish(stage)
    for s in made[:-1]:
        forget(s.root)
    return stage


def finish(stage):
    stage.unpack()
    for step in stage.pending:
        step()
    stage.pending = []


def flush_run(stage, command):
    """One that installs packages is kept; others happen."""
    tar = os.path.join(CACHE, "layer-%s.tar" % stage.key())
    keeps = "apt-get" in command
    if keeps and os.path.exists(tar) and not stage.root:
        stage.unpack(tar)
        stage.pending = []
        return
    finish(stage)
    stage.run(command)
    if keeps:
        sh('tar -C "$1" -cf "$2.part" . && mv "$2.part" "$2"', stage.root, tar)


# ---- running ----

class Container:
    """As a kubelet has it started: another user, no capabilities, a root that cannot be written, folders from outside.

    mounts: {path inside: (path outside, writable)}"""

    def __init__(self, image, mounts, log):
        self.image, self.log = image, log
        uid, _, gid = image.user.partition(":")
        self.drop = ["setpriv", "--reuid=" + uid, "--regid=" + (gid or uid), "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        script = ['mount --bind "$1" "$1"', 'mount --make-private "$1"', 'mount --rbind /dev "$1/dev"', 'mount -t proc proc "$1/proc"']
        for inside, (outside, writable) in mounts.items():
            target = shlex.quote(image.root + inside)
            script.append("mount --bind %s %s" % (shlex.quote(outside), target))
            if not writable:
                script.append("mount -o remount,bind,ro %s" % target)
        script.append('mount -o remount,bind,ro "$1"')
        command = " ".join(map(shlex.quote, self.drop + image.entrypoint + image.cmd))
        script.append('exec chroot "$1" env -i PATH=%s sh -c %s' % (image.env["PATH"], shlex.quote("cd %s && exec %s" % (image.workdir, command))))
        self.outer = subprocess.Popen(unshare() + ["sh", "-euc", "\n".join(script), "sh", image.root], stdout=log, stderr=log)
        self.pid = None

    def find(self):
        """The pid of its first process, outside; None: it is not there yet."""
        try:
            children = open("/proc/%d/task/%d/children" % (self.outer.pid, self.outer.pid)).read().split()
            self.pid = int(children[0]) if children else None
        except OSError:
            self.pid = None
        return self.pid

    def run(self, *command, code=0, seconds=120):
        """As `kubectl exec` does."""
        done = subprocess.run(["nsenter", "--mount", "--pid", "--root", "--wd", "--target", str(self.pid), "env", "-i", "PATH=" + self.image.env["PATH"],
                               *self.drop, *command], capture_output=True, text=True, timeout=seconds)
        assert code is None or done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def end(self, signal_number=signal.SIGTERM, seconds=60):
        os.kill(self.pid, signal_number)
        return self.outer.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.outer.poll() is None:
            self.outer.kill()
            self.outer.wait()
