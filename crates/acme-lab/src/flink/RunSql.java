import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * RunSql FILE [KEY=VALUE…]: runs the statements of a file, which end with a semicolon at the end of a line, on a cluster
 * within this process. Prints the milliseconds that each INSERT took from its submission to its end.
 */
public class RunSql {
  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new Configuration();
    for (int i = 1; i < arguments.length; i++) {
      String[] pair = arguments[i].split("=", 2);
      configuration.setString(pair[0], pair[1]);
    }
    TableEnvironment table = TableEnvironment.create(
        EnvironmentSettings.newInstance().withConfiguration(configuration).inBatchMode().build());
    for (String part : Files.readString(Path.of(arguments[0])).split(";\\s*(\n|$)")) {
      String statement = part.trim();
      if (statement.isEmpty()) {
        continue;
      }
      long began = System.nanoTime();
      TableResult result = table.executeSql(statement);
      if (statement.startsWith("INSERT")) {
        result.await();
        System.out.println((System.nanoTime() - began) / 1e6);
      }
    }
    System.exit(0);
  }
}
