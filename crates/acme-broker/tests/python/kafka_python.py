"""kafka_python.py BOOTSTRAP: what kafka-python, which speaks the protocol by itself, does with a broker. Prints a line for
each thing that held."""

import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

BOOTSTRAP = sys.argv[1]
PATIENCE = 120


def held(what, name):
    assert what, name
    print("held:", name)


def consume(topic, count, **settings):
    consumer = KafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", **settings)
    seen, until = [], time.monotonic() + PATIENCE
    while len(seen) < count and time.monotonic() < until:
        for records in consumer.poll(timeout_ms=200).values():
            seen.extend(record.value.decode() for record in records)
    if settings.get("group_id"):
        consumer.commit()
    consumer.close()
    return seen


def producing_and_consuming():
    for codec in [None, "gzip"]:
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, linger_ms=5)
        sent = [producer.send("py", f"{codec}-{n}".encode(), key=b"%d" % n) for n in range(200)]
        assert all(one.get(PATIENCE).offset >= 0 for one in sent)
        producer.close()
    expected = sorted(f"{codec}-{n}" for codec in [None, "gzip"] for n in range(200))
    held(sorted(consume("py", 400, group_id="py")) == expected, "all there, once")
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    producer.send("py", b"late").get(PATIENCE)
    held(consume("py", 1, group_id="py") == ["late"], "a group goes on where it was")
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
    part = TopicPartition("py", 0)
    held(consumer.end_offsets([part])[part] == 401 and consumer.beginning_offsets([part])[part] == 0, "both ends")
    found = consumer.offsets_for_times({part: 0})[part]
    held(found.offset == 0, "an offset by time")
    consumer.close()


def transactions():
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id="py")
    producer.init_transactions()
    for round, commit in enumerate([True, False, True]):
        producer.begin_transaction()
        for n in range(50):
            producer.send("py-moved", f"{round}-{n}".encode())
        producer.commit_transaction() if commit else (producer.flush(), producer.abort_transaction())
    seen = consume("py-moved", 100, group_id="py-moved", isolation_level="read_committed")
    held(sorted(seen) == sorted(f"{round}-{n}" for round in [0, 2] for n in range(50)), "what was committed, and no more")
    young = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id="py")
    young.init_transactions()
    try:
        producer.begin_transaction()
        producer.send("py-moved", b"undead").get(PATIENCE)
        producer.commit_transaction()
        held(False, "a zombie is fenced")
    except KafkaError:
        held(True, "a zombie is fenced")


def administration():
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic("py-ruled", 3, 1)])
    try:
        admin.create_topics([NewTopic("py-ruled", 3, 1)])
        held(False, "a topic is made once")
    except TopicAlreadyExistsError:
        held(True, "a topic is made once")
    held("py-ruled" in [one if isinstance(one, str) else one["name"] for one in admin.list_topics()], "it is listed")
    held(len(admin.describe_topics(["py-ruled"])[0]["partitions"]) == 3, "it is described")
    held(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "py-ruled")], config_filter="all"), "its settings")
    held(admin.describe_groups(["py"]), "groups are described")
    held(admin.list_groups(), "and listed")
    part = TopicPartition("py", 0)
    admin.alter_group_offsets("py", {part: OffsetAndMetadata(5, "note", -1)})
    held(admin.list_group_offsets({"py": [part]})["py"][part].offset == 5, "their offsets are moved")
    admin.delete_groups(["py"])
    held(admin.describe_cluster(), "the cluster")
    held(admin.describe_log_dirs(), "its directories")
    held(admin.list_transactions(), "its transactions")
    admin.delete_topics(["py-ruled"])
    held("py-ruled" not in [one if isinstance(one, str) else one["name"] for one in admin.list_topics()], "it is deleted")


producing_and_consuming()
transactions()
administration()
