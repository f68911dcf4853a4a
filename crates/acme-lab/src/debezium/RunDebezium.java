import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.io.FileReader;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * RunDebezium PROPERTIES COUNT TOPIC: runs Debezium's engine until it has handed over so many records of a topic, and drops
 * them. Prints the milliseconds from the first of them to the last.
 */
public class RunDebezium {
  private static long began;
  private static long seen;

  public static void main(String[] arguments) throws Exception {
    Properties properties = new Properties();
    try (FileReader file = new FileReader(arguments[0])) {
      properties.load(file);
    }
    long count = Long.parseLong(arguments[1]);
    DebeziumEngine<RecordChangeEvent<SourceRecord>> engine = DebeziumEngine.create(ChangeEventFormat.of(Connect.class))
        .using(properties)
        .using((success, message, error) -> {
          System.err.println(message);
          if (error != null) {
            error.printStackTrace();
          }
          System.exit(1);
        })
        .notifying((records, committer) -> {
          if (began == 0) {
            began = System.nanoTime();
          }
          for (RecordChangeEvent<SourceRecord> record : records) {
            if (record.record().topic().equals(arguments[2])) {
              seen++;
            }
            committer.markProcessed(record);
          }
          committer.markBatchFinished();
          if (seen >= count) {
            System.out.println((System.nanoTime() - began) / 1e6);
            System.out.flush();
            Runtime.getRuntime().halt(seen == count ? 0 : 1);
          }
        })
        .build();
    engine.run();
  }
}
