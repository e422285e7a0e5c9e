import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.opensearch.Version;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.PluginInfo;

/** Runs OpenSearch 3 in this process. Arguments: comma-separated plugin classes, then one configuration folder per node. */
public final class OpenSearch {
  private OpenSearch() {}

  private static final class ClassPathNode extends Node {
    ClassPathNode(Environment environment, List<PluginInfo> plugins) {
      super(environment, plugins, true);
    }
  }

  public static void main(String[] args) throws Exception {
    Parent.exitWithIt();
    List<PluginInfo> plugins = new ArrayList<>();
    for (String name : args[0].split(",")) {
      String java = Integer.toString(Runtime.version().feature());
      plugins.add(new PluginInfo(name, "on the class path", "NA", Version.CURRENT, java, name, List.of(), false));
    }
    List<Node> nodes = new ArrayList<>();
    List<Parent.Start> starts = new ArrayList<>();
    for (int i = 1; i < args.length; i++) {
      Environment environment = InternalSettingsPreparer.prepareEnvironment(
          Settings.builder().put("path.home", System.getProperty("engine.home")).build(),
          Map.of(),
          Path.of(args[i]),
          () -> null);
      if (i == 1) {
        LogConfigurator.setNodeName("engine");
        LogConfigurator.configureWithoutConfig(environment.settings());
      }
      Node node = new ClassPathNode(environment, plugins);
      nodes.add(node);
      starts.add(node::start);
    }
    Parent.closeAtExit(nodes);
    Parent.startAll(starts);
  }
}
