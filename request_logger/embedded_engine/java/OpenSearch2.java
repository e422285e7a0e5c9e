import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/** Runs OpenSearch 2 in this process. Arguments: comma-separated plugin classes, the configuration folder. */
public final class OpenSearch2 {
  private OpenSearch2() {}

  private static final class ClassPathNode extends Node {
    ClassPathNode(Environment environment, List<Class<? extends Plugin>> plugins) {
      super(environment, plugins, false);
    }
  }

  public static void main(String[] args) throws Exception {
    Parent.exitWithIt();
    List<Class<? extends Plugin>> plugins = new ArrayList<>();
    for (String name : args[0].split(",")) {
      plugins.add(Class.forName(name).asSubclass(Plugin.class));
    }
    Environment environment = InternalSettingsPreparer.prepareEnvironment(
        Settings.builder().put("path.home", System.getProperty("engine.home")).build(),
        Map.of(),
        Path.of(args[1]),
        () -> null);
    LogConfigurator.setNodeName("engine");
    LogConfigurator.configureWithoutConfig(environment.settings());
    Node node = new ClassPathNode(environment, plugins);
    Parent.closeAtExit(List.of(node));
    Parent.startAll(List.of(node::start));
  }
}
