import java.util.List;
import java.util.Map;
import org.apache.lucene.analysis.Analyzer;
import org.opensearch.analysis.common.CommonAnalysisModulePlugin;
import org.opensearch.index.analysis.AnalyzerProvider;
import org.opensearch.index.analysis.PreBuiltAnalyzerProviderFactory;
import org.opensearch.index.analysis.PreConfiguredTokenizer;
import org.opensearch.index.analysis.TokenizerFactory;
import org.opensearch.indices.analysis.AnalysisModule.AnalysisProvider;

/** The analysis module, adapted to JREs without Thai locale data: see {@link Thai}. */
public final class OpenSearchAnalysis extends CommonAnalysisModulePlugin {
  @Override
  public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
    return Thai.kept(super.getAnalyzers());
  }

  @Override
  public Map<String, AnalysisProvider<TokenizerFactory>> getTokenizers() {
    return Thai.kept(super.getTokenizers());
  }

  @Override
  public List<PreBuiltAnalyzerProviderFactory> getPreBuiltAnalyzerProviderFactories() {
    return Thai.kept(super.getPreBuiltAnalyzerProviderFactories(), PreBuiltAnalyzerProviderFactory::getName);
  }

  @Override
  public List<PreConfiguredTokenizer> getPreConfiguredTokenizers() {
    return Thai.kept(super.getPreConfiguredTokenizers(), PreConfiguredTokenizer::getName);
  }
}
