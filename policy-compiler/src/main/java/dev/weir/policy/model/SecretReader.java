// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import java.util.Optional;

/** Reads {@code v1 Secret}; those of other types than {@code kubernetes.io/tls} are passed over. */
final class SecretReader {

  private SecretReader() {}

  static Optional<Resource> read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "immutable");
    if (!object.text("type", "Opaque").equals("kubernetes.io/tls")) {
      return Optional.empty();
    }
    Map<String, String> data = object.map("data");
    Map<String, String> text = object.map("stringData");
    Optional<String> certificate = value(object, data, text, "tls.crt");
    Optional<String> key = value(object, data, text, "tls.key");
    object.finish();
    if (certificate.isEmpty() || key.isEmpty()) {
      return Optional.empty();
    }
    if (!certificate.get().contains("-----BEGIN CERTIFICATE-----")) {
      object.error(
          "data", "tls.crt holds no PEM certificate", "put the chain there, leaf first, as PEM");
      return Optional.empty();
    }
    if (!key.get().contains("-----BEGIN PRIVATE KEY-----")) {
      object.error(
          "data",
          "tls.key holds no unencrypted PKCS#8 key",
          "convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW");
      return Optional.empty();
    }
    return Optional.of(new Secret(meta, certificate.get(), key.get()));
  }

  private static Optional<String> value(
      Fields object, Map<String, String> data, Map<String, String> text, String name) {
    String plain = text.get(name);
    if (plain != null) {
      return Optional.of(plain);
    }
    String encoded = data.get(name);
    if (encoded == null) {
      object.error("data", name + " is missing", "a Secret of type kubernetes.io/tls needs it");
      return Optional.empty();
    }
    try {
      byte[] bytes = Base64.getDecoder().decode(encoded.replaceAll("\\s", ""));
      return Optional.of(new String(bytes, StandardCharsets.US_ASCII));
    } catch (IllegalArgumentException e) {
      object.error("data", name + " is not base64", "encode it, or write it under stringData");
      return Optional.empty();
    }
  }
}
