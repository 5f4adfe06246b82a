// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.schema;

import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.DocumentReader;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.SourceFile;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The JSON Schemas (draft 2020-12) of {@code weir.dev/v1alpha1}, which lie beside this class as
 * {@code KIND.json}.
 */
public final class Schemas {

  /** Kinds that have a schema. */
  public static final List<String> KINDS =
      List.of("Mesh", "PolicyTest", "TrafficPolicy", "Workload");

  private final Map<String, Schema> parsed = new HashMap<>();

  /** Reads no schema before it is needed. */
  public Schemas() {}

  /** The text of a kind's schema. */
  public static Optional<String> text(String kind) {
    if (!KINDS.contains(kind)) {
      return Optional.empty();
    }
    try (InputStream in = Schemas.class.getResourceAsStream(kind + ".json")) {
      if (in == null) {
        throw new IllegalStateException(kind + ".json is missing in the jar");
      }
      return Optional.of(new String(in.readAllBytes(), StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A kind's schema. */
  public Optional<Schema> of(String kind) {
    return text(kind).map(text -> parsed.computeIfAbsent(kind, k -> parse(k, text)));
  }

  private static Schema parse(String kind, String text) {
    Diagnostics diagnostics = new Diagnostics();
    List<Node> documents =
        DocumentReader.read(
            new SourceFile(kind + ".json", text.getBytes(StandardCharsets.UTF_8)), diagnostics);
    if (diagnostics.failed() || documents.size() != 1) {
      throw new IllegalStateException(diagnostics.errors().toString());
    }
    return new Schema(documents.getFirst());
  }
}
