// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import java.util.Locale;

/** JSON (RFC 8259) of any shape, written from its beginning to its end. */
public final class JsonText {

  private final StringBuilder text = new StringBuilder(1024);
  private boolean first = true;

  /** Begins an object: as a whole, or as an element of an array. */
  public JsonText object() {
    comma();
    return open('{');
  }

  /** Begins an object as a member. */
  public JsonText object(String name) {
    name(name);
    return open('{');
  }

  /** Begins an array as a member. */
  public JsonText array(String name) {
    name(name);
    return open('[');
  }

  private JsonText open(char bracket) {
    text.append(bracket);
    first = true;
    return this;
  }

  /** Ends the object that was begun last. */
  public JsonText endObject() {
    text.append('}');
    first = false;
    return this;
  }

  /** Ends the array that was begun last. */
  public JsonText endArray() {
    text.append(']');
    first = false;
    return this;
  }

  /** A text as a member. */
  public JsonText member(String name, String value) {
    name(name);
    quote(value);
    return this;
  }

  /** A number as a member. */
  public JsonText member(String name, long value) {
    name(name);
    text.append(value);
    return this;
  }

  /** A truth as a member. */
  public JsonText member(String name, boolean value) {
    name(name);
    text.append(value);
    return this;
  }

  /** A text as an element. */
  public JsonText element(String value) {
    comma();
    quote(value);
    return this;
  }

  /** A number without a sign as an element. */
  public JsonText unsigned(long value) {
    comma();
    text.append(Long.toUnsignedString(value));
    return this;
  }

  private void comma() {
    if (!first) {
      text.append(',');
    }
    first = false;
  }

  private void name(String name) {
    comma();
    quote(name);
    text.append(':');
  }

  private void quote(String value) {
    text.append('"');
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      switch (c) {
        case '"' -> text.append("\\\"");
        case '\\' -> text.append("\\\\");
        case '\n' -> text.append("\\n");
        default -> {
          // Half a pair of surrogates has no form in UTF-8, and so they are all escaped.
          if (c >= ' ' && c != 0x7f && !Character.isSurrogate(c)) {
            text.append(c);
          } else {
            text.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
          }
        }
      }
    }
    text.append('"');
  }

  /** What has been written. */
  @Override
  public String toString() {
    return text.toString();
  }
}
