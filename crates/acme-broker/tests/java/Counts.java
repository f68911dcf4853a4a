import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Counts BOOTSTRAP STATE-DIRECTORY GUARANTEE: Kafka Streams that counts the words of the topic "lines" into "words", and the
 * records of "events" by key and minute into "minutes" (key@minute). Each record in gives its updates out, one for each word,
 * so that each key's counts are 1, 2, 3 and so on when nothing is lost and nothing comes twice. Runs until it is ended.
 */
public class Counts {
  public static void main(String[] arguments) {
    Properties properties = new Properties();
    properties.put("application.id", "counts");
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("state.dir", arguments[1]);
    properties.put("processing.guarantee", arguments[2]);
    properties.put("auto.offset.reset", "earliest");
    properties.put("commit.interval.ms", "100");
    properties.put("num.stream.threads", "2");
    // Every update is passed on.
    properties.put("statestore.cache.max.bytes", "0");
    // Who has been killed is soon missed.
    properties.put("session.timeout.ms", "6000");
    properties.put("heartbeat.interval.ms", "1000");
    properties.put("producer.transaction.timeout.ms", "15000");
    properties.put("consumer.max.poll.records", "200");
    StreamsBuilder builder = new StreamsBuilder();
    builder
        .stream("lines", Consumed.with(Serdes.String(), Serdes.String()))
        .flatMapValues(line -> Arrays.asList(line.split(" ")))
        .map((key, word) -> KeyValue.pair(word, word))
        .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
        .count()
        .toStream()
        .mapValues(count -> count.toString())
        .to("words", Produced.with(Serdes.String(), Serdes.String()));
    builder
        .stream("events", Consumed.with(Serdes.String(), Serdes.String()))
        .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
        .windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofMinutes(1)))
        .count()
        .toStream()
        .map((key, count) -> KeyValue.pair(key.key() + "@" + key.window().start() / 60_000, count.toString()))
        .to("minutes", Produced.with(Serdes.String(), Serdes.String()));
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      System.exit(1);
      return null;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
    streams.start();
  }
}
