// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.json;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.core.util.Separators;
import com.fasterxml.jackson.core.util.Separators.Spacing;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Map;
import java.util.Optional;

/**
 * Writes values as JSON: maps, iterables, text, enums (by name), numbers, booleans, and {@link
 * Optional}s. A member whose value is an empty {@code Optional} is left out; elsewhere that is
 * {@code null}. Numbers that are not finite, and objects of other types, are refused.
 */
public final class Json {

  /** Deepest nesting that is read. */
  static final int MAX_DEPTH = 64;

  /** Longest text that is read, in characters. */
  static final int MAX_TEXT = 1 << 20;

  static final JsonFactory FACTORY =
      JsonFactory.builder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxStringLength(MAX_TEXT)
                  .maxNumberLength(40)
                  .build())
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .disable(StreamReadFeature.AUTO_CLOSE_SOURCE)
          .disable(StreamWriteFeature.AUTO_CLOSE_TARGET)
          .disable(StreamWriteFeature.FLUSH_PASSED_TO_STREAM)
          .build();

  private Json() {}

  /** A value on one line, without a line break. */
  public static String line(Object value) {
    StringWriter out = new StringWriter();
    try (JsonGenerator generator = generator(out, false)) {
      write(generator, value);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toString();
  }

  /** A value indented by two spaces, with a final line break. */
  public static String pretty(Object value) {
    StringWriter out = new StringWriter();
    try (JsonGenerator generator = generator(out, true)) {
      write(generator, value);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.append('\n').toString();
  }

  static JsonGenerator generator(Writer out, boolean pretty) throws IOException {
    JsonGenerator generator = FACTORY.createGenerator(out);
    if (pretty) {
      DefaultIndenter indenter = new DefaultIndenter("  ", "\n");
      generator.setPrettyPrinter(
          new DefaultPrettyPrinter(
                  Separators.createDefaultInstance()
                      .withObjectFieldValueSpacing(Spacing.AFTER)
                      .withObjectEmptySeparator("")
                      .withArrayEmptySeparator("")
                      .withRootSeparator(""))
              .withObjectIndenter(indenter)
              .withArrayIndenter(indenter));
    }
    return generator;
  }

  static void write(JsonGenerator out, Object value) throws IOException {
    switch (value) {
      case String text -> out.writeString(wellFormed(text));
      case Enum<?> word -> out.writeString(word.name());
      case Boolean flag -> out.writeBoolean(flag);
      case Double number when !Double.isFinite(number) ->
          throw new IllegalArgumentException("number: " + number + " (expected: finite)");
      case Double number -> out.writeNumber(number);
      case Integer number -> out.writeNumber(number);
      case Long number -> out.writeNumber(number);
      case BigInteger number -> out.writeNumber(number);
      case BigDecimal number -> out.writeNumber(number);
      case Map<?, ?> map -> {
        out.writeStartObject();
        for (Map.Entry<?, ?> entry : map.entrySet()) {
          if (!(entry.getValue() instanceof Optional<?> optional && optional.isEmpty())) {
            out.writeFieldName(wellFormed(String.valueOf(entry.getKey())));
            write(out, entry.getValue());
          }
        }
        out.writeEndObject();
      }
      case Iterable<?> list -> {
        out.writeStartArray();
        for (Object item : list) {
          write(out, item);
        }
        out.writeEndArray();
      }
      case Optional<?> optional -> {
        if (optional.isPresent()) {
          write(out, optional.get());
        } else {
          out.writeNull();
        }
      }
      default ->
          throw new IllegalArgumentException("value: " + value.getClass() + " (not a JSON type)");
    }
  }

  /** A lone surrogate is no character; it would break the encoding of the output. */
  private static String wellFormed(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (Character.isSurrogate(text.charAt(i))) {
        return text.codePoints()
            .map(c -> c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE ? 0xfffd : c)
            .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
            .toString();
      }
    }
    return text;
  }
}
