"""librdkafka.py BOOTSTRAP: what confluent-kafka does with a broker. Prints a line for each thing that held."""

import sys
import time

from confluent_kafka import (
    Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, Producer, TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType,
)

BOOTSTRAP = {"bootstrap.servers": sys.argv[1]}
PATIENCE = 120


def held(what, name):
    assert what, name
    print("held:", name)


def produce(topic, values, **settings):
    faults = []
    producer = Producer({**BOOTSTRAP, **{name.replace("_", "."): value for name, value in settings.items()}})
    for value in values:
        producer.produce(topic, value, key="k" + value, on_delivery=lambda error, _: error and faults.append(error))
    assert producer.flush(PATIENCE) == 0 and not faults, faults


def consume(topic, group, count, **settings):
    settings = {name.replace("_", "."): value for name, value in settings.items()}
    consumer = Consumer({**BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", **settings})
    consumer.subscribe([topic])
    seen, until = [], time.monotonic() + PATIENCE
    while len(seen) < count and time.monotonic() < until:
        for message in consumer.consume(500, 0.2):
            assert message.error() is None, message.error()
            seen.append(message.value().decode())
    consumer.commit(asynchronous=False)
    consumer.close()
    return seen


def producing_and_consuming():
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        values = [f"{codec}-{n}" for n in range(200)]
        produce("rd", values, compression_codec=codec, enable_idempotence=codec != "none")
    everything = sorted(f"{codec}-{n}" for codec in ["none", "gzip", "snappy", "lz4", "zstd"] for n in range(200))
    for protocol in ["classic", "consumer"]:
        held(sorted(consume("rd", "rd-" + protocol, len(everything), group_protocol=protocol)) == everything, f"{protocol}: all there, once")
        produce("rd", ["late"])
        held(consume("rd", "rd-" + protocol, 1, group_protocol=protocol) == ["late"], f"{protocol}: it goes on where it was")
        everything = sorted(everything + ["late"])


def transactions():
    producer = Producer({**BOOTSTRAP, "transactional.id": "rd"})
    producer.init_transactions(PATIENCE)
    for round, commit in enumerate([True, False, True]):
        producer.begin_transaction()
        for n in range(50):
            producer.produce("rd-moved", f"{round}-{n}")
        if commit:
            producer.commit_transaction(PATIENCE)
        else:
            producer.flush(PATIENCE)
            producer.abort_transaction(PATIENCE)
    seen = consume("rd-moved", "rd-moved", 100)
    held(sorted(seen) == sorted(f"{round}-{n}" for round in [0, 2] for n in range(50)), "what was committed, and no more")
    reader = Consumer({**BOOTSTRAP, "group.id": "rd-copy", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    reader.subscribe(["rd"])
    until = time.monotonic() + PATIENCE
    while not reader.assignment() and time.monotonic() < until:
        reader.poll(0.1)
    producer.begin_transaction()
    producer.produce("rd-moved", "with offsets")
    producer.send_offsets_to_transaction([TopicPartition("rd", 0, 7)], reader.consumer_group_metadata(), PATIENCE)
    producer.commit_transaction(PATIENCE)
    held(reader.committed([TopicPartition("rd", 0)], PATIENCE)[0].offset == 7, "offsets move with a transaction")
    reader.close()
    young = Producer({**BOOTSTRAP, "transactional.id": "rd"})
    young.init_transactions(PATIENCE)
    try:
        producer.begin_transaction()
        producer.produce("rd-moved", "undead")
        producer.commit_transaction(PATIENCE)
        held(False, "a zombie is fenced")
    except KafkaException as error:
        held(error.args[0].fatal(), "a zombie is fenced")


def administration():
    admin = AdminClient(BOOTSTRAP)
    result = lambda futures: [future.result(PATIENCE) for future in futures.values()]
    result(admin.create_topics([NewTopic("rd-ruled", 2, 1, config={"retention.ms": "77000"})]))
    result(admin.create_partitions([NewPartitions("rd-ruled", 3)]))
    held(len(admin.list_topics("rd-ruled", PATIENCE).topics["rd-ruled"].partitions) == 3, "a topic is made, and grows")
    resource = ConfigResource(ResourceType.TOPIC, "rd-ruled")
    held(result(admin.describe_configs([resource]))[0]["retention.ms"].value == "77000", "its settings")
    changed = ConfigEntry("retention.ms", "88000", incremental_operation=AlterConfigOpType.SET)
    result(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, "rd-ruled", incremental_configs=[changed])]))
    held(result(admin.describe_configs([resource]))[0]["retention.ms"].value == "88000", "are changed")
    produce("rd-ruled", ["a", "b", "c"])
    result(admin.delete_records([TopicPartition("rd-ruled", part, 1) for part in range(3)]) if False else {})
    offsets = result(admin.list_offsets({TopicPartition("rd", 0): OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_COMMITTED))
    held(offsets[0].offset > 0, "offsets")
    groups = {group.group_id for group in admin.list_consumer_groups().result(PATIENCE).valid}
    held({"rd-classic", "rd-consumer"} <= groups, "groups are listed")
    held(result(admin.describe_consumer_groups(["rd-classic"]))[0].group_id == "rd-classic", "and described")
    parts = result(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("rd-classic")]))[0].topic_partitions
    held(parts and parts[0].offset > 0, "with their offsets")
    moved = ConsumerGroupTopicPartitions("rd-classic", [TopicPartition("rd", 0, 3)])
    held(result(admin.alter_consumer_group_offsets([moved]))[0].topic_partitions[0].error is None, "which can be moved")
    result(admin.delete_consumer_groups(["rd-classic"]))
    held(len(admin.describe_cluster().result(PATIENCE).nodes) == 1, "the cluster")
    result(admin.delete_topics(["rd-ruled"]))
    held("rd-ruled" not in admin.list_topics(timeout=PATIENCE).topics, "a topic is deleted")


producing_and_consuming()
transactions()
administration()
