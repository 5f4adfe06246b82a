// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Configurations of the peers, kept beside the classes, with {@code ${name}} to be filled in. */
public final class Template {

  private static final Pattern PLACE = Pattern.compile("\\$\\{(\\w+)}");

  private Template() {}

  /**
   * A configuration, filled in.
   *
   * @param beside the class beside which it lies
   * @param name of its file
   * @param values what its places hold
   * @throws MeasureException if a place has no value
   */
  public static String fill(Class<?> beside, String name, Map<String, ?> values)
      throws MeasureException {
    String text;
    try (InputStream in = Objects.requireNonNull(beside.getResourceAsStream(name), name)) {
      text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new MeasureException("cannot read " + name + ": " + e.getMessage(), e);
    }
    StringBuilder out = new StringBuilder();
    Matcher matcher = PLACE.matcher(text);
    while (matcher.find()) {
      Object value = values.get(matcher.group(1));
      if (value == null) {
        throw new MeasureException(name + " asks for " + matcher.group() + ", which nobody gave");
      }
      matcher.appendReplacement(out, Matcher.quoteReplacement(value.toString()));
    }
    return matcher.appendTail(out).toString();
  }
}
