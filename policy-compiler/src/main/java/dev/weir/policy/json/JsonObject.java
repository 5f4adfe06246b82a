// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.json;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import dev.weir.policy.source.Position;
import java.io.IOException;
import java.io.Reader;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * A JSON object that was read, with the place of each of its members. A member that is {@code null}
 * counts as not there.
 *
 * <p>Every method that asks for a member throws {@link JsonException} when it is of another type or
 * out of range, and those that are not {@code optional} also when it is not there.
 */
public final class JsonObject {

  private final Position at;
  private final String path;
  private final Map<String, Member> members;

  /** Value: String, Number, Boolean, JsonObject, or List of Members. */
  private record Member(Position at, Object value) {}

  private JsonObject(Position at, String path, Map<String, Member> members) {
    this.at = at;
    this.path = path;
    this.members = members;
  }

  /**
   * The one object that a text consists of.
   *
   * @param name what to call the text in errors, as a file's name
   * @throws JsonException when it is not well-formed, or anything but an object
   */
  public static JsonObject parse(String text, String name) {
    List<JsonObject> objects = new ArrayList<>();
    try {
      forEach(new StringReader(text), name, objects::add);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (objects.size() != 1) {
      throw new JsonException(
          new Position(name, objects.isEmpty() ? 1 : objects.get(1).at().line(), 0),
          "",
          "not JSON: one object must be there, not " + objects.size());
    }
    return objects.getFirst();
  }

  /**
   * Hands on each object of a stream as soon as it is read: JSON lines, or objects separated by
   * white space.
   *
   * @param name what to call the stream in errors, as a file's name
   * @throws JsonException when it is not well-formed, or holds anything but objects
   * @throws IOException when the stream cannot be read
   */
  public static void forEach(Reader in, String name, Consumer<JsonObject> action)
      throws IOException {
    try (JsonParser parser = Json.FACTORY.createParser(in)) {
      while (true) {
        JsonObject object;
        try {
          JsonToken token = parser.nextToken();
          if (token == null) {
            return;
          }
          Position at = at(parser, name);
          if (token != JsonToken.START_OBJECT) {
            throw new JsonException(at, "", "not a JSON object");
          }
          object = object(parser, name, at, "");
        } catch (JacksonException e) {
          JsonLocation place = e.getLocation();
          throw new JsonException(
              place == null
                  ? new Position(name, 0, 0)
                  : new Position(name, place.getLineNr(), place.getColumnNr()),
              "",
              "not JSON: " + e.getOriginalMessage());
        }
        action.accept(object);
      }
    }
  }

  private static Position at(JsonParser parser, String name) {
    JsonLocation place = parser.currentTokenLocation();
    return new Position(name, place.getLineNr(), place.getColumnNr());
  }

  private static JsonObject object(JsonParser parser, String name, Position at, String path)
      throws IOException {
    Map<String, Member> members = new LinkedHashMap<>();
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      String key = parser.currentName();
      parser.nextToken();
      member(parser, name, path.isEmpty() ? key : path + "." + key)
          .ifPresent(m -> members.put(key, m));
    }
    return new JsonObject(at, path, members);
  }

  private static Optional<Member> member(JsonParser parser, String name, String path)
      throws IOException {
    Position at = at(parser, name);
    return switch (parser.currentToken()) {
      case VALUE_NULL -> Optional.empty();
      case VALUE_TRUE -> Optional.of(new Member(at, true));
      case VALUE_FALSE -> Optional.of(new Member(at, false));
      case VALUE_STRING -> Optional.of(new Member(at, parser.getText()));
      case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT ->
          Optional.of(new Member(at, parser.getNumberValue()));
      case START_OBJECT -> Optional.of(new Member(at, object(parser, name, at, path)));
      case START_ARRAY -> {
        List<Member> items = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          String itemPath = path + "[" + items.size() + "]";
          items.add(member(parser, name, itemPath).orElse(new Member(at, Optional.empty())));
        }
        yield Optional.of(new Member(at, items));
      }
      default -> throw new JsonException(at, path, "not JSON: " + parser.currentToken());
    };
  }

  /** Where it begins. */
  public Position at() {
    return at;
  }

  /** Names of the members that are not null, in the order of the text. */
  public Set<String> keys() {
    return members.keySet();
  }

  /** Whether the member is there and not null. */
  public boolean has(String key) {
    return members.containsKey(key);
  }

  /**
   * Refuses members that nobody knows, which would otherwise be passed over in silence.
   *
   * @throws JsonException for the first one
   */
  public void allowOnly(Set<String> known) {
    members.forEach(
        (key, member) -> {
          if (!known.contains(key)) {
            throw new JsonException(
                member.at(),
                path(key),
                "is not a field here; known: "
                    + String.join(", ", known.stream().sorted().toList()));
          }
        });
  }

  private String path(String key) {
    return path.isEmpty() ? key : path + "." + key;
  }

  /** An error about a member, at its place. */
  public JsonException error(String key, String message) {
    Member member = members.get(key);
    return new JsonException(member == null ? at : member.at(), path(key), message);
  }

  private <T> Optional<T> optional(String key, Class<T> type, String what) {
    Member member = members.get(key);
    return member == null ? Optional.empty() : Optional.of(as(member, path(key), type, what));
  }

  private static <T> T as(Member member, String path, Class<T> type, String what) {
    if (!type.isInstance(member.value())) {
      throw new JsonException(member.at(), path, "must be " + what);
    }
    return type.cast(member.value());
  }

  private <T> T required(String key, Optional<T> value) {
    return value.orElseThrow(() -> new JsonException(at, path(key), "is missing"));
  }

  /** A string. */
  public String text(String key) {
    return required(key, optionalText(key));
  }

  /** A string, if it is there. */
  public Optional<String> optionalText(String key) {
    return optional(key, String.class, "a string");
  }

  /** A whole number. */
  public int integer(String key, int min, int max) {
    return required(key, optionalInteger(key, min, max));
  }

  /** A whole number, if it is there. */
  public Optional<Integer> optionalInteger(String key, int min, int max) {
    return optionalLong(key, min, max).map(Math::toIntExact);
  }

  /** A whole number, if it is there. */
  public Optional<Long> optionalLong(String key, long min, long max) {
    String what = "a whole number from " + min + " to " + max;
    Optional<Number> number = optional(key, Number.class, what);
    if (number.isEmpty()) {
      return Optional.empty();
    }
    long value = number.get().longValue();
    boolean whole = number.get() instanceof Integer || number.get() instanceof Long;
    if (!whole || value < min || value > max) {
      throw error(key, "is " + number.get() + ", but must be " + what);
    }
    return Optional.of(value);
  }

  /** {@code true} or {@code false}, if it is there. */
  public Optional<Boolean> optionalFlag(String key) {
    return optional(key, Boolean.class, "true or false");
  }

  /** An object. */
  public JsonObject object(String key) {
    return required(key, optionalObject(key));
  }

  /** An object, if it is there. */
  public Optional<JsonObject> optionalObject(String key) {
    return optional(key, JsonObject.class, "an object");
  }

  private <T> List<T> list(String key, Class<T> type, String what) {
    List<?> items = optional(key, List.class, "an array").orElse(List.of());
    List<T> result = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      result.add(as((Member) items.get(i), path(key) + "[" + i + "]", type, what));
    }
    return List.copyOf(result);
  }

  /** The strings of an array; none when it is not there. */
  public List<String> texts(String key) {
    return list(key, String.class, "a string");
  }

  /** The objects of an array; none when it is not there. */
  public List<JsonObject> objects(String key) {
    return list(key, JsonObject.class, "an object");
  }

  /** An object all of whose members are strings; empty when it is not there. */
  public Map<String, String> textMap(String key) {
    Map<String, String> result = new LinkedHashMap<>();
    optionalObject(key).ifPresent(o -> o.keys().forEach(k -> result.put(k, o.text(k))));
    return result;
  }

  /**
   * The whole object as maps, lists, strings, numbers and booleans; in a list, {@code null} is an
   * empty {@link Optional}.
   */
  public Map<String, Object> toMap() {
    Map<String, Object> map = new LinkedHashMap<>();
    members.forEach((key, member) -> map.put(key, plain(member.value())));
    return map;
  }

  private static Object plain(Object value) {
    return switch (value) {
      case JsonObject object -> object.toMap();
      case List<?> list -> list.stream().map(item -> plain(((Member) item).value())).toList();
      default -> value;
    };
  }
}
