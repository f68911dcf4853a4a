import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/**
 * Clients BOOTSTRAP PART [PROPERTIES-FILE]: what the Java client does with a broker: PART is producer, consumer, admin,
 * transactions, or once (one record there and back, with further settings from a file). Prints a line for each thing that
 * held; fails at the first that did not.
 */
public class Clients {
  static final int ROUNDS = Integer.getInteger("rounds", 1);
  static String bootstrap;
  static final Properties more = new Properties();

  public static void main(String[] arguments) throws Exception {
    bootstrap = arguments[0];
    if (arguments.length > 2) {
      try (var reader = java.nio.file.Files.newBufferedReader(java.nio.file.Path.of(arguments[2]))) {
        more.load(reader);
      }
    }
    for (String part : arguments[1].split(",")) {
      for (int round = 0; round < ROUNDS; round++) {
        switch (part) {
          case "producer" -> producer("produced-" + round);
          case "consumer" -> consumer("consumed-" + round);
          case "admin" -> admin("ruled-" + round);
          case "transactions" -> transactions("moved-" + round);
          case "once" -> once();
          default -> throw new IllegalArgumentException(part);
        }
      }
    }
    System.exit(0);
  }

  static void held(boolean what, String name) {
    if (!what) {
      throw new AssertionError(name);
    }
    System.out.println("held: " + name);
  }

  static void same(Object found, Object expected, String name) {
    held(expected.equals(found), name + (expected.equals(found) ? "" : ": " + found + " instead of " + expected));
  }

  interface Work {
    void run() throws Exception;
  }

  /** The error that a call ends with, or null. */
  static Throwable refused(Work work) {
    try {
      work.run();
      return null;
    } catch (ExecutionException error) {
      return error.getCause();
    } catch (Exception error) {
      return error;
    }
  }

  static void refusedAs(Class<?> kind, Work work, String name) {
    Throwable error = refused(work);
    held(kind.isInstance(error), name + (kind.isInstance(error) ? "" : ": " + error));
  }

  static Properties settings(String... pairs) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.putAll(more);
    for (int at = 0; at < pairs.length; at += 2) {
      settings.put(pairs[at], pairs[at + 1]);
    }
    return settings;
  }

  static KafkaProducer<String, String> producerWith(String... pairs) {
    return new KafkaProducer<>(settings(pairs), new StringSerializer(), new StringSerializer());
  }

  static KafkaConsumer<String, String> consumerWith(String... pairs) {
    Properties settings = settings(pairs);
    settings.putIfAbsent("auto.offset.reset", "earliest");
    return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
  }

  static void create(String topic, int partitions) throws Exception {
    try (Admin admin = Admin.create(settings())) {
      admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
    }
  }

  static void once() throws Exception {
    try (var producer = producerWith()) {
      producer.send(new ProducerRecord<>("once", "key", "value")).get();
    }
    try (var consumer = consumerWith("group.id", "once-" + System.nanoTime())) {
      consumer.subscribe(List.of("once"));
      held(read(consumer, 1).containsKey("value"), "a record goes there and comes back");
    }
  }

  /** Values that come until there are so many different ones, and how often each came. */
  static Map<String, Integer> read(Consumer<String, String> consumer, int count) {
    Map<String, Integer> seen = new HashMap<>();
    long until = System.nanoTime() + 120_000_000_000L;
    while (seen.size() < count && System.nanoTime() < until) {
      for (var one : consumer.poll(Duration.ofMillis(100))) {
        seen.merge(one.value(), 1, Integer::sum);
      }
    }
    return seen;
  }

  static void producer(String topic) throws Exception {
    create(topic, 4);
    int total = 0;
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      for (String idempotent : List.of("true", "false")) {
        try (var producer = producerWith("compression.type", codec, "enable.idempotence", idempotent, "linger.ms", "5")) {
          List<Future<RecordMetadata>> sent = new ArrayList<>();
          for (int n = 0; n < 500; n++) {
            sent.add(producer.send(new ProducerRecord<>(topic, "k" + n, codec + idempotent + n)));
          }
          Map<Integer, Long> last = new HashMap<>();
          for (var one : sent) {
            var metadata = one.get();
            Long before = last.put(metadata.partition(), metadata.offset());
            if (before != null && before + 1 != metadata.offset()) {
              throw new AssertionError("offset " + metadata.offset() + " follows " + before);
            }
          }
          total += 500;
        }
        held(true, "500 records, " + codec + ", idempotent " + idempotent);
      }
    }
    try (var producer = producerWith("acks", "0", "enable.idempotence", "false")) {
      held(producer.send(new ProducerRecord<>(topic, 0, "k", "unanswered")).get().offset() == -1, "acks=0 has no offset");
    }
    try (var producer = producerWith("acks", "1", "enable.idempotence", "false")) {
      var record = new ProducerRecord<>(topic, 1, 1_234L, "k", "with headers", List.of(new RecordHeader("h", new byte[] {1})));
      same(producer.send(record).get().timestamp(), 1_234L, "a time of its own");
      var large = new ProducerRecord<>(topic, "k", "x".repeat(900_000));
      held(producer.send(large).get().offset() >= 0, "a record of 900 KB");
      same(producer.partitionsFor(topic).size(), 4, "partitions for a topic");
    }
    try (var producer = producerWith("max.request.size", "9000000")) {
      var large = new ProducerRecord<>(topic, "k", "x".repeat(2_000_000));
      refusedAs(RecordTooLargeException.class, () -> producer.send(large).get(), "a record that is too large");
      held(producer.send(new ProducerRecord<>(topic, "k", "after it")).get().offset() >= 0, "and the next one goes on");
    }
    try (var consumer = consumerWith("group.id", topic, "fetch.max.bytes", "100000", "max.partition.fetch.bytes", "20000")) {
      consumer.subscribe(List.of(topic));
      var seen = read(consumer, total + 4);
      same(seen.size(), total + 4, "everything is there");
      held(seen.values().stream().allMatch(times -> times == 1), "and once");
    }
  }

  static void consumer(String prefix) throws Exception {
    String cooperative = CooperativeStickyAssignor.class.getName();
    String classic = RangeAssignor.class.getName() + "," + RoundRobinAssignor.class.getName();
    groups(prefix + "-range", "group.protocol", "classic", "partition.assignment.strategy", classic);
    groups(prefix + "-cooperative", "group.protocol", "classic", "partition.assignment.strategy", cooperative);
    groups(prefix + "-modern", "group.protocol", "consumer");
    groups(prefix + "-modern-range", "group.protocol", "consumer", "group.remote.assignor", "range");
    groups(prefix + "-fixed", "group.protocol", "classic", "group.instance.id", "INSTANCE");
    alone(prefix + "-alone");
    pattern(prefix);
  }

  static KafkaConsumer<String, String> member(String topic, String name, String... pairs) {
    Properties settings = settings(pairs);
    settings.put("group.id", topic);
    settings.put("client.id", name);
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    if (settings.containsKey("group.instance.id")) {
      settings.put("group.instance.id", name);
    }
    // By the other protocol the broker says how often.
    if (settings.get("group.protocol").equals("classic")) {
      settings.put("heartbeat.interval.ms", "300");
    }
    return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
  }

  static void fill(String topic, int from, int to) throws Exception {
    try (var producer = producerWith()) {
      for (int n = from; n < to; n++) {
        producer.send(new ProducerRecord<>(topic, "k" + n, "v" + n));
      }
    }
  }

  /** Two members share six partitions; one leaves, and what it has committed is not read again. */
  static void groups(String topic, String... pairs) throws Exception {
    create(topic, 6);
    fill(topic, 0, 300);
    Map<String, Integer> seen = new TreeMap<>();
    try (var one = member(topic, "one", pairs)) {
      one.subscribe(List.of(topic));
      try (var two = member(topic, "two", pairs)) {
        two.subscribe(List.of(topic));
        long until = System.nanoTime() + 120_000_000_000L;
        while ((one.assignment().size() != 3 || two.assignment().size() != 3) && System.nanoTime() < until) {
          take(one, seen);
          take(two, seen);
        }
        Set<TopicPartition> both = new HashSet<>(one.assignment());
        both.addAll(two.assignment());
        same(both.size(), 6, topic + ": two members have three partitions each");
        while (seen.size() < 300 && System.nanoTime() < until) {
          take(one, seen);
          take(two, seen);
        }
        same(seen.size(), 300, topic + ": together they see everything");
      }
      // A fixed member's place stays empty for its session: the partitions of a plain one come back at once.
      if (!Arrays.asList(pairs).contains("group.instance.id")) {
        fill(topic, 300, 400);
        long until = System.nanoTime() + 120_000_000_000L;
        while (seen.size() < 400 && System.nanoTime() < until) {
          take(one, seen);
        }
        same(seen.size(), 400, topic + ": the one that is left sees the rest");
      }
      var committed = one.committed(one.assignment());
      held(committed.values().stream().allMatch(offset -> offset != null), topic + ": what was committed is known");
    }
  }

  static void take(Consumer<String, String> consumer, Map<String, Integer> seen) {
    for (var one : consumer.poll(Duration.ofMillis(50))) {
      seen.merge(one.value(), 1, Integer::sum);
    }
    try {
      consumer.commitSync();
    } catch (RebalanceInProgressException | CommitFailedException moving) {
      // The next poll finishes it.
    }
  }

  /** Without a group: places, times, ends. */
  static void alone(String topic) throws Exception {
    create(topic, 2);
    TopicPartition first = new TopicPartition(topic, 0);
    try (var producer = producerWith()) {
      for (int n = 0; n < 100; n++) {
        producer.send(new ProducerRecord<>(topic, 0, 1_000L + 10 * n, "k", "v" + n)).get();
      }
    }
    try (var consumer = consumerWith()) {
      consumer.assign(List.of(first));
      same(consumer.beginningOffsets(List.of(first)).get(first), 0L, "the beginning");
      same(consumer.endOffsets(List.of(first)).get(first), 100L, "the end");
      same(consumer.offsetsForTimes(Map.of(first, 1_501L)).get(first).offset(), 51L, "the offset of a time");
      consumer.seek(first, 97);
      same(read(consumer, 3).keySet(), Set.of("v97", "v98", "v99"), "from an offset");
      same(consumer.position(first), 100L, "the position");
      same(consumer.currentLag(first).orElse(-1), 0L, "no lag");
      consumer.seekToBeginning(List.of(first));
      consumer.pause(List.of(first));
      held(consumer.poll(Duration.ofMillis(200)).isEmpty(), "nothing comes while it is paused");
      consumer.resume(List.of(first));
      same(read(consumer, 100).size(), 100, "everything comes afterwards");
      held(consumer.listTopics().containsKey(topic), "topics are listed");
    }
    try (var consumer = consumerWith("auto.offset.reset", "none")) {
      consumer.assign(List.of(first));
      consumer.seek(first, 1_000);
      refusedAs(org.apache.kafka.clients.consumer.OffsetOutOfRangeException.class, () -> {
        for (int n = 0; n < 200; n++) {
          consumer.poll(Duration.ofMillis(50));
        }
      }, "an offset behind the end");
    }
  }

  static void pattern(String prefix) throws Exception {
    create(prefix + ".pattern.1", 1);
    create(prefix + ".pattern.2", 1);
    fill(prefix + ".pattern.1", 0, 10);
    fill(prefix + ".pattern.2", 10, 20);
    try (var consumer = consumerWith("group.id", prefix + "-java", "group.protocol", "classic")) {
      consumer.subscribe(Pattern.compile(Pattern.quote(prefix) + "\\.pattern\\..*"));
      same(read(consumer, 20).size(), 20, "a pattern of ours");
    }
    try (var consumer = consumerWith("group.id", prefix + "-re2", "group.protocol", "consumer")) {
      consumer.subscribe(new SubscriptionPattern(prefix + "[.]pattern[.].*"));
      same(read(consumer, 20).size(), 20, "a pattern of the broker's");
    }
  }

  static void admin(String topic) throws Exception {
    try (Admin admin = Admin.create(settings())) {
      topics(admin, topic);
      configs(admin, topic);
      records(admin, topic);
      members(admin, topic);
      cluster(admin, topic);
      admin.deleteTopics(List.of(topic)).all().get();
      held(!admin.listTopics().names().get().contains(topic), "a topic is deleted");
      refusedAs(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all().get(), "and is gone");
    }
  }

  static void topics(Admin admin, String topic) throws Exception {
    var created = admin.createTopics(List.of(new NewTopic(topic, Optional.of(2), Optional.empty()).configs(Map.of("retention.ms", "77000"))));
    created.all().get();
    same(created.numPartitions(topic).get(), 2, "a topic is created");
    same(created.config(topic).get().get("retention.ms").value(), "77000", "with its setting");
    refusedAs(TopicExistsException.class, () -> admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get(), "and not twice");
    refusedAs(InvalidTopicException.class, () -> admin.createTopics(List.of(new NewTopic("a b", 2, (short) 1))).all().get(), "a bad name");
    var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    same(described.partitions().size(), 2, "it is described");
    var byId = admin.describeTopics(TopicCollection.ofTopicIds(List.of(described.topicId()))).allTopicIds().get();
    same(byId.get(described.topicId()).name(), topic, "by its id, too");
    held(admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get().contains(topic), "it is listed");
    admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
    same(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size(), 4, "it grows");
    refusedAs(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get(), "and does not shrink");
    held(admin.listPartitionReassignments().reassignments().get().isEmpty(), "nothing moves");
  }

  static void configs(Admin admin, String topic) throws Exception {
    var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    admin.incrementalAlterConfigs(Map.of(resource, List.of(
        new AlterConfigOp(new ConfigEntry("retention.ms", "88000"), AlterConfigOp.OpType.SET),
        new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND)))).all().get();
    var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
    var config = admin.describeConfigs(List.of(resource), options).all().get().get(resource);
    same(config.get("retention.ms").value(), "88000", "a setting is changed");
    same(config.get("retention.ms").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "and knows who set it");
    held(config.get("retention.ms").documentation() != null, "and what it is for");
    same(config.get("cleanup.policy").value(), "delete,compact", "a list is longer");
    refusedAs(InvalidConfigurationException.class, () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
        new AlterConfigOp(new ConfigEntry("retention.ms", "never"), AlterConfigOp.OpType.SET)))).all().get(), "a wrong value");
    var broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
    same(admin.describeConfigs(List.of(broker)).all().get().get(broker).get("node.id").value(), "1", "the broker's settings");
    for (var other : List.of(new ConfigResource(ConfigResource.Type.GROUP, topic), new ConfigResource(ConfigResource.Type.BROKER, ""))) {
      held(admin.describeConfigs(List.of(other)).all().get().containsKey(other), "settings of " + other);
    }
  }

  static void records(Admin admin, String topic) throws Exception {
    TopicPartition part = new TopicPartition(topic, 0);
    try (var producer = producerWith()) {
      for (int n = 0; n < 10; n++) {
        producer.send(new ProducerRecord<>(topic, 0, 100L - n, "k", "v" + n)).get();
      }
      held(!admin.describeProducers(List.of(part)).partitionResult(part).get().activeProducers().isEmpty(), "who produces");
    }
    same(offset(admin, part, OffsetSpec.latest()), 10L, "the latest offset");
    same(offset(admin, part, OffsetSpec.maxTimestamp()), 0L, "that of the largest time");
    same(offset(admin, part, OffsetSpec.forTimestamp(100)), 0L, "that of a time");
    same(admin.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(4))).all().get() == null, true, "records are deleted");
    same(offset(admin, part, OffsetSpec.earliest()), 4L, "the earliest offset");
    same(offset(admin, part, OffsetSpec.earliestLocal()), 4L, "the earliest local offset");
  }

  static long offset(Admin admin, TopicPartition part, OffsetSpec spec) throws Exception {
    return admin.listOffsets(Map.of(part, spec)).partitionResult(part).get().offset();
  }

  static void members(Admin admin, String topic) throws Exception {
    TopicPartition part = new TopicPartition(topic, 0);
    for (String protocol : List.of("classic", "consumer")) {
      String group = topic + "-" + protocol;
      try (var consumer = consumerWith("group.id", group, "group.protocol", protocol, "enable.auto.commit", "false")) {
        consumer.subscribe(List.of(topic));
        read(consumer, 6);
        consumer.commitSync();
        var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        same(described.members().size(), 1, protocol + ": a group is described");
        same(described.groupState(), GroupState.STABLE, protocol + ": it is stable");
        same(described.members().iterator().next().assignment().topicPartitions().size(), 4, protocol + ": its member has partitions");
        held(admin.listGroups().all().get().stream().anyMatch(one -> one.groupId().equals(group)), protocol + ": it is listed");
        held(admin.listConsumerGroups().all().get().stream().anyMatch(one -> one.groupId().equals(group)), protocol + ": among the consumers', too");
        refusedAs(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get(), protocol + ": it is not deleted now");
        if (protocol.equals("classic")) {
          same(admin.describeClassicGroups(List.of(group)).all().get().get(group).members().size(), 1, "a classic look");
          admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions()).all().get();
          held(admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().isEmpty(), "members are removed");
        }
      }
      var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
      same(offsets.get(part).offset(), 10L, protocol + ": its offsets");
      admin.alterConsumerGroupOffsets(group, Map.of(part, new OffsetAndMetadata(5, Optional.of(0), "by hand"))).all().get();
      same(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(part).metadata(), "by hand", protocol + ": are changed");
      admin.deleteConsumerGroupOffsets(group, Set.of(part)).all().get();
      held(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(part) == null, protocol + ": and deleted");
      admin.deleteConsumerGroups(List.of(group)).all().get();
      refusedAs(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get(), protocol + ": the group is deleted");
      refusedAs(GroupIdNotFoundException.class, () -> admin.describeConsumerGroups(List.of(group)).all().get(), protocol + ": and is gone");
    }
  }

  static void cluster(Admin admin, String topic) throws Exception {
    var cluster = admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
    same(cluster.nodes().get().size(), 1, "a cluster of one");
    held(!cluster.clusterId().get().isEmpty(), "with an id");
    same(cluster.controller().get().id(), 1, "that controls itself");
    var dirs = admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
    held(dirs.values().stream().anyMatch(dir -> dir.replicaInfos().keySet().stream().anyMatch(part -> part.topic().equals(topic))), "where a topic lies");
    held(dirs.values().stream().allMatch(dir -> dir.totalBytes().orElse(0) > 0 && dir.usableBytes().orElse(0) > 0), "and the disk's size");
    held(admin.describeFeatures().featureMetadata().get().finalizedFeatures().containsKey("transaction.version"), "features");
    held(admin.metrics() != null, "metrics");
  }

  static void transactions(String topic) throws Exception {
    create(topic, 3);
    create(topic + "-in", 1);
    try (var producer = producerWith("transactional.id", topic)) {
      producer.initTransactions();
      for (boolean commit : new boolean[] {true, false, true}) {
        producer.beginTransaction();
        for (int n = 0; n < 100; n++) {
          producer.send(new ProducerRecord<>(topic, "k" + n, (commit ? "committed " : "aborted ") + n));
        }
        if (commit) {
          producer.commitTransaction();
        } else {
          producer.flush();
          producer.abortTransaction();
        }
      }
      producer.beginTransaction();
      producer.commitTransaction();
      producer.beginTransaction();
      producer.abortTransaction();
    }
    try (var consumer = consumerWith("group.id", topic, "isolation.level", "read_committed")) {
      consumer.subscribe(List.of(topic));
      var seen = read(consumer, 100);
      same(seen.size(), 100, "what was committed is there");
      held(seen.values().stream().mapToInt(times -> times).sum() <= 200, "at most as often as it was written");
      held(seen.keySet().stream().noneMatch(value -> value.startsWith("aborted")), "what was aborted is not");
    }
    offsets(topic);
    zombie(topic);
    byAdmin(topic);
  }

  /** Offsets that move with the transaction, for both kinds of groups. */
  static void offsets(String topic) throws Exception {
    fill(topic + "-in", 0, 10);
    TopicPartition part = new TopicPartition(topic + "-in", 0);
    for (String protocol : List.of("classic", "consumer")) {
      String group = topic + "-" + protocol;
      try (var consumer = consumerWith("group.id", group, "group.protocol", protocol, "enable.auto.commit", "false");
          var producer = producerWith("transactional.id", group)) {
        consumer.subscribe(List.of(topic + "-in"));
        same(read(consumer, 10).size(), 10, protocol + ": it reads");
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, "k", "copied")).get();
        producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(10, "with it")), consumer.groupMetadata());
        producer.abortTransaction();
        held(consumer.committed(Set.of(part)).get(part) == null, protocol + ": an abort moves no offset");
        producer.beginTransaction();
        producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(10, "with it")), consumer.groupMetadata());
        producer.commitTransaction();
        same(consumer.committed(Set.of(part)).get(part).metadata(), "with it", protocol + ": a commit does");
        producer.beginTransaction();
        var nobody = new ConsumerGroupMetadata(group, 7, "nobody", Optional.empty());
        Throwable error = refused(() -> producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(3)), nobody));
        held(error instanceof CommitFailedException, protocol + ": a stranger's offsets are refused" + (error instanceof CommitFailedException ? "" : ": " + error));
        producer.abortTransaction();
      }
    }
  }

  /** Whoever was replaced writes nothing more that is seen. */
  static void zombie(String topic) throws Exception {
    try (var old = producerWith("transactional.id", topic + "-zombie")) {
      old.initTransactions();
      old.beginTransaction();
      old.send(new ProducerRecord<>(topic, "k", "undead")).get();
      try (var young = producerWith("transactional.id", topic + "-zombie")) {
        young.initTransactions();
        young.beginTransaction();
        young.send(new ProducerRecord<>(topic, "k", "alive")).get();
        refusedAs(KafkaException.class, () -> {
          old.send(new ProducerRecord<>(topic, "k", "undead")).get();
          old.commitTransaction();
        }, "a zombie is refused");
        Throwable error = refused(old::commitTransaction);
        held(error != null, "again");
        young.commitTransaction();
      }
      var fatal = refused(old::beginTransaction);
      held(fatal instanceof ProducerFencedException || fatal instanceof KafkaException, "and knows that it is fenced");
    }
    try (var consumer = consumerWith("group.id", topic + "-z", "isolation.level", "read_committed")) {
      consumer.subscribe(List.of(topic));
      var seen = read(consumer, 101);
      held(seen.containsKey("alive") && !seen.containsKey("undead"), "the zombie's records are not seen");
    }
  }

  static void byAdmin(String topic) throws Exception {
    try (Admin admin = Admin.create(settings()); var producer = producerWith("transactional.id", topic + "-hangs")) {
      producer.initTransactions();
      producer.beginTransaction();
      producer.send(new ProducerRecord<>(topic, 0, "k", "hanging")).get();
      TopicPartition part = new TopicPartition(topic, 0);
      String id = topic + "-hangs";
      var described = admin.describeTransactions(List.of(id)).description(id).get();
      same(described.state(), TransactionState.ONGOING, "an open transaction");
      same(described.topicPartitions(), Set.of(part), "and where it writes");
      held(admin.listTransactions().all().get().stream().anyMatch(one -> one.transactionalId().equals(id)), "it is listed");
      var active = admin.describeProducers(List.of(part)).partitionResult(part).get().activeProducers().stream()
          .filter(one -> one.producerId() == described.producerId()).findFirst().get();
      held(active.currentTransactionStartOffset().isPresent(), "the partition knows of it");
      var spec = new AbortTransactionSpec(part, active.producerId(), (short) active.producerEpoch(), active.coordinatorEpoch().orElse(-1));
      admin.abortTransaction(spec).all().get();
      held(true, "it is aborted by hand");
      admin.fenceProducers(List.of(id)).all().get();
      refusedAs(KafkaException.class, producer::commitTransaction, "a fenced producer commits nothing");
    }
  }
}
