"""librdkafka as a judge: judge.py write|read|join TOPIC NAME=VALUE...

A record is a line: PARTITION OFFSET TIMESTAMP KEY VALUE NAME=VALUE..., bytes as x and hexadecimal digits, null as -.
"""

import queue
import sys
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

PATIENCE = 120


def word(data):
    return "-" if data is None else "x" + data.hex()


def plain(text):
    return None if text == "-" else bytes.fromhex(text[1:])


def line(message):
    headers = [f"{word(name.encode())}={word(value)}" for name, value in message.headers() or []]
    numbers = [str(message.partition()), str(message.offset()), str(message.timestamp()[1])]
    return " ".join(numbers + [word(message.key()), word(message.value())] + headers)


def write(topic, properties):
    """Writes the records of the standard input, between lines `begin`, `commit` and `abort`."""
    producer = Producer(properties)
    if "transactional.id" in properties:
        producer.init_transactions(PATIENCE)
    failures = []

    def delivered(error, _):
        if error:
            failures.append(str(error))

    for text in sys.stdin:
        words = text.split()
        if words == ["begin"]:
            producer.begin_transaction()
        elif words == ["commit"]:
            producer.commit_transaction(PATIENCE)
        elif words == ["abort"]:
            # Else what waits is dropped, and there is nothing to abort.
            producer.flush(PATIENCE)
            producer.abort_transaction(PATIENCE)
        else:
            partition, _, timestamp, key, value, *headers = words
            pairs = [header.split("=") for header in headers]
            producer.produce(
                topic,
                plain(value),
                plain(key),
                int(partition),
                on_delivery=delivered,
                timestamp=int(timestamp),
                headers=[(plain(name).decode(), plain(data)) for name, data in pairs],
            )
            producer.poll(0)
    left = producer.flush(PATIENCE)
    if left or failures:
        sys.exit(f"{left} without an answer, {failures[:3]}")


def read(topic, properties):
    """Prints all records from the beginning to the end of each partition."""
    consumer = Consumer({"group.id": "judge", "enable.partition.eof": True, **properties})
    numbers = consumer.list_topics(topic, PATIENCE).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
    left = set(numbers)
    while left:
        message = consumer.poll(1)
        if message is None:
            continue
        if not message.error():
            print(line(message))
        elif message.error().code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition())
        else:
            sys.exit(str(message.error()))
    consumer.close()


def join(topic, properties):
    """A member of a group: prints `+`, `-`, `!` with partitions, and `r` with records, until the input ends."""
    consumer = Consumer({"enable.auto.commit": False, "auto.offset.reset": "earliest", **properties})
    orders = queue.Queue()
    threading.Thread(target=lambda: orders.put(sys.stdin.read()), daemon=True).start()
    positions = {}

    def say(sign, partitions):
        print(sign, *[partition.partition for partition in partitions])

    def commit(numbers):
        offsets = [TopicPartition(topic, number, positions.pop(number)) for number in numbers if number in positions]
        until = time.monotonic() + PATIENCE
        while offsets:
            try:
                done = consumer.commit(offsets=offsets, asynchronous=False)
                errors = [partition.error for partition in done if partition.error]
            except KafkaException as exception:
                errors = [exception.args[0]]
            if not errors:
                return
            # Its epoch has moved on: it hears of it by the next heartbeat.
            if errors[0].code() != KafkaError.STALE_MEMBER_EPOCH or time.monotonic() > until:
                print("error", errors[0])
                return
            time.sleep(0.05)

    def revoked(_, partitions):
        commit([partition.partition for partition in partitions])
        say("-", partitions)

    consumer.subscribe(
        [topic],
        on_assign=lambda _, partitions: say("+", partitions),
        on_revoke=revoked,
        on_lost=lambda _, partitions: say("!", partitions),
    )
    while orders.empty():
        message = consumer.poll(0.05)
        if message is None:
            continue
        if message.error():
            print("error", message.error())
            continue
        positions[message.partition()] = message.offset() + 1
        print("r", line(message))
    commit(list(positions))
    consumer.close()


COMMANDS = {"write": write, "read": read, "join": join}
COMMANDS[sys.argv[1]](sys.argv[2], dict(argument.split("=", 1) for argument in sys.argv[3:]))
