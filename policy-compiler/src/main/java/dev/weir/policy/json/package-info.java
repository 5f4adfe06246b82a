// SPDX-License-Identifier: Apache-2.0

/**
 * JSON (RFC 8259), written and read in one place for all of Weir but the proxy, which holds none of
 * it.
 *
 * <p>To write, build a value of maps, iterables, text, numbers, booleans and {@link
 * java.util.Optional}s, then {@link dev.weir.policy.json.Json#pretty} for an answer on standard
 * output, {@link dev.weir.policy.json.Json#line} for a log line or a frame, {@link
 * dev.weir.policy.json.JsonRows} for an array whose length must not matter.
 *
 * <p>To read, {@link dev.weir.policy.json.JsonObject#parse} takes one object and {@link
 * dev.weir.policy.json.JsonObject#forEach} a stream of them, such as JSON lines. Every mistake in
 * the text, and every field that is not what was asked for, is a {@link
 * dev.weir.policy.json.JsonException} that names file, line, column and field:
 *
 * <pre>{@code
 * JsonObject.forEach(reader, "cases.jsonl", line -> {
 *   JsonObject source = line.object("source");
 *   int port = line.object("destination").integer("port", 1, 65535);
 *   Optional<String> method = line.optionalText("method");
 * });
 * }</pre>
 */
@NullMarked
package dev.weir.policy.json;

import org.jspecify.annotations.NullMarked;
