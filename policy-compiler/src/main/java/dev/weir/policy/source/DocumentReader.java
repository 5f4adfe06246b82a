// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.common.Anchor;
import org.snakeyaml.engine.v2.events.AliasEvent;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.events.MappingStartEvent;
import org.snakeyaml.engine.v2.events.ScalarEvent;
import org.snakeyaml.engine.v2.events.SequenceStartEvent;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.ReaderException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

/**
 * Reads YAML 1.2 (of which JSON is a part), several documents a file.
 *
 * <p>Only what Kubernetes manifests use is accepted: keys are single values, a key occurs once,
 * there are no tags but the core schema's. Aliases and {@code <<} merges work; what they expand to
 * counts against the same bound as what is written out, so that no file is larger in memory than it
 * may be on disk.
 */
public final class DocumentReader {

  /** Deepest nesting. */
  public static final int MAX_DEPTH = 64;

  /** Most nodes of one file, aliases expanded. */
  public static final int MAX_NODES = 2_000_000;

  private static final Pattern INTEGER = Pattern.compile("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+");
  private static final Pattern FLOAT =
      Pattern.compile(
          "[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\\.(inf|Inf|INF)|\\.(nan|NaN|NAN)");

  private final SourceFile file;
  private final Iterator<Event> events;
  private final Map<Anchor, Anchored> anchors = new HashMap<>();
  private long nodes;

  private record Anchored(Node node, long nodes) {}

  /** A file that cannot be read further. */
  private static final class Refused extends RuntimeException {
    private final transient Position at;
    private final String remedy;

    Refused(Position at, String message, String remedy) {
      super(message, null, false, false);
      this.at = at;
      this.remedy = remedy;
    }
  }

  private DocumentReader(SourceFile file, String text) {
    this.file = file;
    LoadSettings settings =
        LoadSettings.builder()
            .setLabel(file.name())
            .setUseMarks(true)
            .setCodePointLimit(SourceTree.MAX_FILE_BYTES)
            .build();
    this.events = new Parse(settings).parseString(text).iterator();
  }

  /**
   * The documents of a file, empty ones left out. When the file is not well-formed, that is noted
   * as an error and nothing of the file is returned.
   */
  public static List<Node> read(SourceFile file, Diagnostics diagnostics) {
    return read(file, diagnostics, new Texts());
  }

  /** The same, for files of which many are read one after the other. */
  public static List<Node> read(SourceFile file, Diagnostics diagnostics, Texts texts) {
    return PlainReader.read(file, texts).orElseGet(() -> readAny(file, diagnostics));
  }

  /** What any file says, in the library's time. */
  static List<Node> readAny(SourceFile file, Diagnostics diagnostics) {
    Position whole = new Position(file.name(), 0, 0);
    String text;
    try {
      text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(file.content())).toString();
    } catch (CharacterCodingException e) {
      diagnostics.error(undecodable(file), "", "the file is not UTF-8 text", "save it as UTF-8");
      return List.of();
    }
    if (file.name().toLowerCase(Locale.ROOT).endsWith(".json")) {
      // JSON allows tabs for indentation, YAML does not; inside JSON strings they are escaped.
      text = text.replace('\t', ' ');
    }
    try {
      return new DocumentReader(file, text).documents();
    } catch (Refused e) {
      diagnostics.error(e.at, "", String.valueOf(e.getMessage()), e.remedy);
    } catch (MarkedYamlEngineException e) {
      Position at =
          e.getProblemMark()
              .or(e::getContextMark)
              .map(m -> new Position(file.name(), m.getLine() + 1, m.getColumn() + 1))
              .orElse(whole);
      String context = e.getContext() == null ? "" : e.getContext() + ": ";
      diagnostics.error(at, "", "not valid YAML: " + context + e.getProblem(), "");
    } catch (ReaderException e) {
      diagnostics.error(
          position(file, text, e.getPosition()),
          "",
          String.format("the character U+%04X is not allowed in YAML", e.getCodePoint()),
          "remove it, or write it as an escape in double quotes");
    } catch (YamlEngineException e) {
      // Of directives only, which stand at the beginning: the library does not say where.
      diagnostics.error(
          new Position(file.name(), 1, 1), "", "not valid YAML: " + e.getMessage(), "");
    } catch (NumberFormatException | IndexOutOfBoundsException e) {
      // The library's own mistake, as with the escape \\UFFFFFFFF; it does not say where.
      diagnostics.error(
          new Position(file.name(), 1, 1), "", "not valid YAML: " + e.getMessage(), "");
    }
    return List.of();
  }

  /** Where the first byte is that is no UTF-8. */
  private static Position undecodable(SourceFile file) {
    ByteBuffer bytes = ByteBuffer.wrap(file.content());
    CharBuffer text = CharBuffer.allocate(file.content().length + 1);
    StandardCharsets.UTF_8.newDecoder().decode(bytes, text, true);
    String before = text.flip().toString();
    return position(file, before, before.codePointCount(0, before.length()));
  }

  private static Position position(SourceFile file, String text, int codePoint) {
    int line = 1;
    int column = 1;
    int left = codePoint;
    for (int i = 0; i < text.length() && left > 0; left--) {
      int c = text.codePointAt(i);
      i += Character.charCount(c);
      column++;
      if (c == '\n') {
        line++;
        column = 1;
      }
    }
    return new Position(file.name(), line, column);
  }

  private List<Node> documents() {
    List<Node> documents = new ArrayList<>();
    while (events.hasNext()) {
      Event event = events.next();
      switch (event.getEventId()) {
        case StreamStart, StreamEnd, DocumentEnd, Comment -> {}
        case DocumentStart -> {
          anchors.clear();
          Node root = compose(events.next(), 0);
          if (!(root instanceof Scalar scalar && scalar.type() == Scalar.Type.NULL)) {
            documents.add(root);
          }
        }
        default -> throw new Refused(at(event), "unexpected " + event.getEventId(), "");
      }
    }
    return documents;
  }

  private Position at(Event event) {
    Optional<Mark> mark = event.getStartMark();
    return mark.map(m -> new Position(file.name(), m.getLine() + 1, m.getColumn() + 1))
        .orElse(new Position(file.name(), 0, 0));
  }

  private void count(long more, Event event) {
    nodes += more;
    if (nodes > MAX_NODES) {
      throw new Refused(
          at(event),
          "more than " + MAX_NODES + " values, aliases expanded",
          "split the file, or use fewer aliases");
    }
  }

  private Node compose(Event event, int depth) {
    if (depth > MAX_DEPTH) {
      throw new Refused(at(event), "nested deeper than " + MAX_DEPTH + " levels", "");
    }
    long before = nodes;
    count(1, event);
    return switch (event) {
      case AliasEvent alias -> {
        Anchored anchored = anchors.get(alias.getAlias());
        if (anchored == null) {
          throw new Refused(
              at(event),
              "the alias *" + alias.getAlias().getValue() + " has no complete anchor before it",
              "");
        }
        count(anchored.nodes(), event);
        yield anchored.node();
      }
      case ScalarEvent scalar -> keep(scalar.getAnchor(), scalar(scalar), before);
      case SequenceStartEvent sequence -> {
        checkTag(sequence.getTag(), "tag:yaml.org,2002:seq", event);
        List<Node> items = new ArrayList<>();
        Event next = events.next();
        while (next.getEventId() != Event.ID.SequenceEnd) {
          items.add(compose(next, depth + 1));
          next = events.next();
        }
        yield keep(sequence.getAnchor(), new Sequence(at(event), items), before);
      }
      case MappingStartEvent mapping -> {
        checkTag(mapping.getTag(), "tag:yaml.org,2002:map", event);
        yield keep(mapping.getAnchor(), mapping(event, depth), before);
      }
      default -> throw new Refused(at(event), "unexpected " + event.getEventId(), "");
    };
  }

  private Node keep(Optional<Anchor> anchor, Node node, long before) {
    anchor.ifPresent(a -> anchors.put(a, new Anchored(node, nodes - before)));
    return node;
  }

  private void checkTag(Optional<String> tag, String expected, Event event) {
    if (tag.isPresent() && !tag.get().equals(expected) && !tag.get().equals("!")) {
      throw new Refused(at(event), "the tag " + tag.get() + " is not known", "remove the tag");
    }
  }

  private Mapping mapping(Event start, int depth) {
    List<Entry> entries = new ArrayList<>();
    Set<String> keys = new HashSet<>();
    List<Node> merges = new ArrayList<>();
    Event next = events.next();
    while (next.getEventId() != Event.ID.MappingEnd) {
      Position keyAt = at(next);
      boolean plain = next instanceof ScalarEvent scalar && scalar.isPlain();
      if (!(compose(next, depth + 1) instanceof Scalar key)) {
        throw new Refused(keyAt, "a key must be a single value", "quote the key");
      }
      Node value = compose(events.next(), depth + 1);
      if (plain && key.text().equals("<<")) {
        merges.add(value);
      } else if (keys.add(key.text())) {
        entries.add(new Entry(key, value));
      } else {
        throw new Refused(
            keyAt, "the key \"" + key.text() + "\" occurs twice", "remove one of the two");
      }
      next = events.next();
    }
    for (Node merge : merges) {
      List<Node> sources = merge instanceof Sequence sequence ? sequence.items() : List.of(merge);
      for (Node source : sources) {
        if (!(source instanceof Mapping merged)) {
          throw new Refused(source.at(), "<< must name a mapping", "");
        }
        for (Entry entry : merged.entries()) {
          if (keys.add(entry.key().text())) {
            entries.add(entry);
          }
        }
      }
    }
    return new Mapping(at(start), entries);
  }

  private Scalar scalar(ScalarEvent event) {
    String text = event.getValue();
    Scalar.Type type = event.isPlain() ? type(text) : Scalar.Type.STRING;
    Optional<String> tag = event.getTag();
    if (tag.isPresent()) {
      type =
          switch (tag.get()) {
            case "tag:yaml.org,2002:str", "!" -> Scalar.Type.STRING;
            case "tag:yaml.org,2002:int" -> Scalar.Type.INTEGER;
            case "tag:yaml.org,2002:float" -> Scalar.Type.FLOAT;
            case "tag:yaml.org,2002:bool" -> Scalar.Type.BOOLEAN;
            case "tag:yaml.org,2002:null" -> Scalar.Type.NULL;
            case "tag:yaml.org,2002:binary" -> Scalar.Type.STRING;
            default ->
                throw new Refused(
                    at(event), "the tag " + tag.get() + " is not known", "remove the tag");
          };
    }
    return new Scalar(at(event), text, type);
  }

  /** What YAML's core schema makes of a plain value. */
  static Scalar.Type type(String text) {
    if (isDigits(text)) {
      return Scalar.Type.INTEGER;
    }
    return switch (text) {
      case "", "~", "null", "Null", "NULL" -> Scalar.Type.NULL;
      case "true", "True", "TRUE", "false", "False", "FALSE" -> Scalar.Type.BOOLEAN;
      default -> {
        char first = text.charAt(0);
        if (first >= '0' && first <= '9' || first == '-' || first == '+' || first == '.') {
          yield INTEGER.matcher(text).matches()
              ? Scalar.Type.INTEGER
              : FLOAT.matcher(text).matches() ? Scalar.Type.FLOAT : Scalar.Type.STRING;
        }
        yield Scalar.Type.STRING;
      }
    };
  }

  private static boolean isDigits(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (text.charAt(i) < '0' || text.charAt(i) > '9') {
        return false;
      }
    }
    return !text.isEmpty();
  }
}
