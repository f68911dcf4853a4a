import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/**
 * FilterTopic BOOTSTRAP IN OUT COUNT FIELD VALUE THREADS: copies the records of IN whose member FIELD is the text VALUE, or
 * any with VALUE "*", as they are. Ends behind COUNT records, when all that passed are written; prints the milliseconds since
 * its start.
 */
public class FilterTopic {
  private static final JsonFactory JSON = new JsonFactory();

  public static void main(String[] arguments) throws Exception {
    long began = System.nanoTime();
    long count = Long.parseLong(arguments[3]);
    String field = arguments[4];
    String value = arguments[5];
    Properties properties = new Properties();
    properties.put("application.id", "filter-" + ProcessHandle.current().pid() + "-" + System.currentTimeMillis());
    properties.put("bootstrap.servers", arguments[0]);
    properties.put("state.dir", Files.createTempDirectory("streams").toString());
    properties.put("auto.offset.reset", "earliest");
    properties.put("num.stream.threads", arguments[6]);
    AtomicLong seen = new AtomicLong();
    CountDownLatch all = new CountDownLatch(1);
    StreamsBuilder builder = new StreamsBuilder();
    builder
        .stream(arguments[1], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .filter((key, document) -> {
          if (seen.incrementAndGet() == count) {
            all.countDown();
          }
          return passes(document, field, value);
        })
        .to(arguments[2], Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    streams.start();
    boolean done = all.await(5, TimeUnit.MINUTES);
    streams.close(Duration.ofMinutes(1));
    if (!done) {
      System.err.println("read " + seen + " of " + count);
      System.exit(1);
    }
    System.out.println((System.nanoTime() - began) / 1e6);
    System.exit(0);
  }

  private static boolean passes(byte[] document, String field, String value) {
    try (JsonParser parser = JSON.createParser(document)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        boolean found = parser.currentName().equals(field);
        parser.nextToken();
        if (found) {
          return value.equals("*") || value.equals(parser.getText());
        }
        parser.skipChildren();
      }
      return false;
    } catch (java.io.IOException error) {
      return false;
    }
  }
}
