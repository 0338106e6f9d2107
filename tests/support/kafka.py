"""Apache Kafka itself under test: one broker in KRaft mode, from Maven Central by the system's Java; kcat reads what arrived.

    missing() says what is not there, or None.
    with Kafka() as k: k.create("t.acme.customers"); k.brokers; k.messages("t.acme.customers"); k.kill(); k.start()

It has three listeners: `brokers` without a login (who comes that way may do everything), `tls` likewise behind TLS with the
certificate `certificate`, and `sasl` with SASL/PLAIN, where the user `sluice` with the password PASSWORD may do what `allow` granted.
Topics are not made by being written to.
"""
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from sluice import ROOT, free_port

VERSION = "3.9.1"
HOME = os.path.join(ROOT, "build", "kafka")
LIB = os.path.join(HOME, VERSION)
PASSWORD = "the-broker-knows-this-one"

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={dir}/broker.pem
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_sluice="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={dir}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.retention.hours=1000000
log.segment.bytes=67108864
num.network.threads=2
num.io.threads=2
"""


def missing():
    for program, package in (("java", "default-jre-headless"), ("kcat", "kcat")):
        if not shutil.which(program):
            return "%s is missing (apt-get install %s)" % (program, package)
    return _download()


def _download():
    """Once; None when it is there."""
    if os.path.exists(os.path.join(LIB, "complete")):
        return None
    if not shutil.which("mvn"):
        return "mvn is missing (apt-get install maven)"
    os.makedirs(HOME, exist_ok=True)
    with open(os.path.join(HOME, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(LIB, "complete")):
            return None
        done = subprocess.run(["mvn", "-q", "-B", "-f", os.path.join(ROOT, "tests", "support", "kafka.pom.xml"),
                               "dependency:copy-dependencies", "-DoutputDirectory=" + LIB],
                              capture_output=True, text=True, timeout=900)
        if done.returncode:
            return "Maven Central does not give Apache Kafka: " + " ".join(done.stdout.split())[-300:]
        open(os.path.join(LIB, "complete"), "w").close()
    return None


def _java(*args, heap="128m"):
    return ["java", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true",
            "-cp", os.path.join(LIB, "*"), *args]


class Kafka:
    def __init__(self):
        why = missing()
        assert not why, why
        self.dir = tempfile.mkdtemp(prefix="sluice-kafka-")
        self.plain, self.sasl_port, self.tls_port, self.controller = free_port(), free_port(), free_port(), free_port()
        self.brokers, self.sasl, self.tls = ("127.0.0.1:%d" % p for p in (self.plain, self.sasl_port, self.tls_port))
        self.certificate = self.make_certificate("broker")
        self.properties = os.path.join(self.dir, "server.properties")
        with open(self.properties, "w") as f:
            f.write(PROPERTIES.format(plain=self.plain, sasl=self.sasl_port, controller=self.controller, dir=self.dir,
                                      tls=self.tls_port, password=PASSWORD))
        self.process = None
        self._run("kafka.tools.StorageTool", "format", "-t", "c2x1aWNlLXRlc3RzLTAwMQ", "-c", self.properties)

    def make_certificate(self, name):
        """The certificate's path; key and certificate together are NAME.pem."""
        at = os.path.join(self.dir, name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", at + ".key", "-out", at + ".crt"], check=True, capture_output=True)
        with open(at + ".pem", "w") as f:
            f.write(open(at + ".key").read() + open(at + ".crt").read())
        return at + ".crt"

    def _run(self, *args):
        done = subprocess.run(_java(*args), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, "%s\n%s%s" % (" ".join(args), done.stdout, done.stderr)
        return done.stdout

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, seconds=90):
        self.log = open(os.path.join(self.dir, "broker.log"), "ab")
        self.process = subprocess.Popen(_java("kafka.Kafka", self.properties, heap="512m"), stdout=self.log, stderr=self.log,
                                        cwd=self.dir)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, "the broker ended:\n" + open(self.log.name, errors="replace").read()[-2000:]
            if subprocess.run(["kcat", "-b", self.brokers, "-L", "-m", "2", "-J"], capture_output=True).returncode == 0:
                return self
            time.sleep(0.2)
        raise AssertionError("the broker did not come up in %d s" % seconds)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def start_again(self):
        """Where it does not run."""
        return self if self.process.poll() is None else self.start()

    def stop(self):
        """In order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def create(self, *topics, partitions=3, **config):
        for topic in topics:
            _create(self.brokers, topic, partitions, {k.replace("_", "."): str(v) for k, v in config.items()})

    def configure(self, topic, text):
        """An entry of a topic's configuration, such as "max.message.bytes=2000000"."""
        self._run("kafka.admin.ConfigCommand", "--bootstrap-server", self.brokers, "--alter", "--entity-type", "topics",
                  "--entity-name", topic, "--add-config", text)

    def allow(self, *args):
        """What the user `sluice` may do, as kafka-acls.sh says it: "--operation", "Write", "--topic", "t"."""
        self._run("kafka.admin.AclCommand", "--bootstrap-server", self.brokers, "--add", "--allow-principal", "User:sluice", *args)

    def messages(self, *topics, committed=False):
        """Every message of the topics: {topic, partition, offset, key, payload, headers: {name: text}}, by partition and offset."""
        found = []
        for topic in topics:
            done = subprocess.run(["kcat", "-b", self.brokers, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J", "-X",
                                   "isolation.level=" + ("read_committed" if committed else "read_uncommitted")],
                                  capture_output=True, timeout=120)
            assert done.returncode == 0, done.stderr.decode(errors="replace")
            for line in done.stdout.splitlines():
                m = json.loads(line)
                flat = m.get("headers") or []
                m["headers"] = dict(zip(flat[0::2], flat[1::2]))
                found.append(m)
        return sorted(found, key=lambda m: (m["topic"], m["partition"], m["offset"]))


def _library():
    lib = ctypes.CDLL("librdkafka.so.1")
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_NewTopic_new", "rd_kafka_queue_new", "rd_kafka_queue_poll",
                 "rd_kafka_event_CreateTopics_result", "rd_kafka_CreateTopics_result_topics", "rd_kafka_topic_result_error_string",
                 "rd_kafka_init_transactions", "rd_kafka_error_string", "rd_kafka_err2str"):
        getattr(lib, name).restype = ctypes.c_void_p
    return lib


def _client(lib, brokers, **settings):
    words = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
    for name, value in {"bootstrap.servers": brokers, "log_level": "0", **settings}.items():
        assert lib.rd_kafka_conf_set(conf, name.encode(), value.encode(), words, 512) == 0, words.value
    rk = lib.rd_kafka_new(0, conf, words, 512)
    assert rk, words.value
    return ctypes.c_void_p(rk)


def _create(brokers, topic, partitions, config):
    lib, words = _library(), ctypes.create_string_buffer(512)
    rk = _client(lib, brokers)
    new = ctypes.c_void_p(lib.rd_kafka_NewTopic_new(topic.encode(), partitions, 1, words, 512))
    for name, value in config.items():
        lib.rd_kafka_NewTopic_set_config(new, name.encode(), value.encode())
    queue = ctypes.c_void_p(lib.rd_kafka_queue_new(rk))
    lib.rd_kafka_CreateTopics(rk, (ctypes.c_void_p * 1)(new), ctypes.c_size_t(1), None, queue)
    event = ctypes.c_void_p(lib.rd_kafka_queue_poll(queue, 30000))
    assert event.value, "no answer to the creation of " + topic
    result = ctypes.c_void_p(lib.rd_kafka_event_CreateTopics_result(event))
    n = ctypes.c_size_t()
    topics = ctypes.cast(lib.rd_kafka_CreateTopics_result_topics(result, ctypes.byref(n)), ctypes.POINTER(ctypes.c_void_p))
    assert n.value == 1
    code = lib.rd_kafka_topic_result_error(ctypes.c_void_p(topics[0]))
    assert code in (0, 36), "topic %s: error %d" % (topic, code)  # 36: it exists
    lib.rd_kafka_event_destroy(event)
    lib.rd_kafka_NewTopic_destroy(new)
    lib.rd_kafka_queue_destroy(queue)
    lib.rd_kafka_destroy(rk)


def take_over(brokers, node, topic, record):
    """Fences the producer of this transactional id; with a topic it also commits `record` as the group's position."""
    lib = _library()
    lib.rd_kafka_topic_partition_list_new.restype = ctypes.c_void_p
    lib.rd_kafka_topic_partition_list_add.restype = ctypes.POINTER(_TopicPartition)
    for name in ("rd_kafka_begin_transaction", "rd_kafka_send_offsets_to_transaction", "rd_kafka_commit_transaction",
                 "rd_kafka_consumer_group_metadata_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    rk = _client(lib, brokers, **{"transactional.id": node})

    def good(error):
        assert not error, ctypes.string_at(lib.rd_kafka_error_string(ctypes.c_void_p(error)))
    good(lib.rd_kafka_init_transactions(rk, 30000))
    if topic:
        good(lib.rd_kafka_begin_transaction(rk))
        offsets = ctypes.c_void_p(lib.rd_kafka_topic_partition_list_new(1))
        place = lib.rd_kafka_topic_partition_list_add(offsets, topic.encode(), 0)
        text = record.encode()
        libc = ctypes.CDLL(None)
        libc.strdup.restype = ctypes.c_void_p
        place.contents.offset, place.contents.metadata, place.contents.metadata_size = 1, libc.strdup(text), len(text)
        group = ctypes.c_void_p(lib.rd_kafka_consumer_group_metadata_new(node.encode()))
        good(lib.rd_kafka_send_offsets_to_transaction(rk, offsets, group, 30000))
        good(lib.rd_kafka_commit_transaction(rk, 30000))
    lib.rd_kafka_destroy(rk)


class _TopicPartition(ctypes.Structure):
    _fields_ = [("topic", ctypes.c_char_p), ("partition", ctypes.c_int32), ("offset", ctypes.c_int64), ("metadata", ctypes.c_void_p),
                ("metadata_size", ctypes.c_size_t), ("opaque", ctypes.c_void_p), ("err", ctypes.c_int), ("private", ctypes.c_void_p)]
