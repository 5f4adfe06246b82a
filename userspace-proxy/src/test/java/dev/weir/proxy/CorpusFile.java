// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;

/** Reads the files of {@code hostile/}: cases of lines, a word and what follows it. */
final class CorpusFile {

  private CorpusFile() {}

  /**
   * A line of a case.
   *
   * @param place file and line
   * @param word the first one, without its colon; {@code >} for bytes
   * @param text what follows
   */
  record Line(String place, String word, String text) {

    /** As bytes that are sent, with the line end unless it was taken away. */
    String bytes() {
      boolean open = text.endsWith("\\") && !text.endsWith("\\\\");
      return open ? unescape(text.substring(0, text.length() - 1)) : unescape(text) + "\r\n";
    }

    IllegalArgumentException unknown() {
      return new IllegalArgumentException(place + ": what is '" + word + "'?");
    }
  }

  /** A case: its name, the rule it is about, and the other lines. */
  record Case(String name, String rule, List<Line> lines) {}

  static List<Case> read(String file) {
    String resource = "hostile/" + file;
    List<Case> cases = new ArrayList<>();
    try (InputStream in =
        Objects.requireNonNull(CorpusFile.class.getResourceAsStream(resource), resource)) {
      String text = new String(in.readAllBytes(), StandardCharsets.US_ASCII);
      Set<String> names = new HashSet<>();
      String name = "";
      String rule = "";
      List<Line> lines = new ArrayList<>();
      int number = 0;
      for (String raw : (text + "\ncase: \n").split("\n", -1)) {
        number++;
        if (raw.isEmpty() || raw.startsWith("#")) {
          continue;
        }
        Line line = line(file + ":" + number, raw);
        switch (line.word()) {
          case "case" -> {
            if (!name.isEmpty()) {
              if (rule.isEmpty() || lines.isEmpty() || !names.add(name)) {
                throw new IllegalArgumentException(
                    line.place() + ": '" + name + "' has no rule, no lines or another's name");
              }
              cases.add(new Case(name, rule, List.copyOf(lines)));
            }
            name = line.text();
            rule = "";
            lines.clear();
          }
          case "rule" -> rule = line.text();
          default -> lines.add(line);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return List.copyOf(cases);
  }

  private static Line line(String place, String raw) {
    if (raw.startsWith(">")) {
      return new Line(place, ">", raw.startsWith("> ") ? raw.substring(2) : raw.substring(1));
    }
    int colon = raw.indexOf(": ");
    return colon < 0
        ? new Line(place, raw, "")
        : new Line(place, raw.substring(0, colon), raw.substring(colon + 2));
  }

  /** What a text with escapes stands for. */
  static String unescape(String text) {
    StringBuilder out = new StringBuilder();
    int at = 0;
    while (at < text.length()) {
      char c = text.charAt(at++);
      if (c != '\\') {
        out.append(c);
        continue;
      }
      char escape = text.charAt(at++);
      switch (escape) {
        case 'r' -> out.append('\r');
        case 'n' -> out.append('\n');
        case 't' -> out.append('\t');
        case 's' -> out.append(' ');
        case '0' -> out.append('\0');
        case '\\' -> out.append('\\');
        case 'x' -> {
          out.append((char) Integer.parseInt(text.substring(at, at + 2), 16));
          at += 2;
        }
        case '*' -> {
          int open = text.indexOf('(', at);
          // One may be within another one.
          int close = open;
          for (int depth = 1; depth > 0; ) {
            char inner = text.charAt(++close);
            depth += inner == '(' ? 1 : inner == ')' ? -1 : 0;
          }
          int times = Integer.parseInt(text.substring(at, open));
          out.append(unescape(text.substring(open + 1, close)).repeat(times));
          at = close + 1;
        }
        default -> throw new IllegalArgumentException("escape \\" + escape + " in " + text);
      }
    }
    return out.toString();
  }
}
