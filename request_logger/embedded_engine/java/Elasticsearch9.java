import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** Runs Elasticsearch 9 in this process. Arguments: empty (its modules are in a folder), the configuration folder. */
public final class Elasticsearch9 {
  private Elasticsearch9() {}

  public static void main(String[] args) throws Exception {
    Parent.exitWithIt();
    Environment environment = InternalSettingsPreparer.prepareEnvironment(
        Settings.builder().put("path.home", System.getProperty("engine.home")).build(),
        Map.of(),
        Path.of(args[1]),
        () -> null);
    LogConfigurator.setNodeName("engine");
    LogConfigurator.configureESLogging();
    LogConfigurator.configureWithoutConfig(environment.settings());
    PluginsLoader plugins = PluginsLoader.createPluginsLoader(
        PluginsLoader.loadModulesBundles(environment.modulesDir(), false),
        PluginsLoader.loadPluginsBundles(environment.pluginsDir(), false),
        Map.of(),
        false);
    Node node = new Node(environment, plugins);
    Parent.closeAtExit(List.of(node));
    Parent.startAll(List.of(node::start));
  }
}
