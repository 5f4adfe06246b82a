// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import java.util.Optional;

/**
 * Reads {@code v1 Secret}. Of those of other types than {@code kubernetes.io/tls} only {@code
 * ca.crt} is looked at; without it they are passed over.
 */
final class SecretReader {

  /** Where the authorities' certificates are, as in a ConfigMap. */
  private static final String AUTHORITIES = "ca.crt";

  private SecretReader() {}

  static Optional<Resource> read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "immutable");
    if (!object.text("type", "Opaque").equals("kubernetes.io/tls")) {
      return opaque(object).map(pem -> new Secret(meta, Optional.empty(), Optional.of(pem)));
    }
    Map<String, String> data = object.map("data");
    Map<String, String> text = object.map("stringData");
    Optional<String> certificate = value(object, data, text, "tls.crt");
    Optional<String> key = value(object, data, text, "tls.key");
    Optional<String> authorities =
        data.containsKey(AUTHORITIES) || text.containsKey(AUTHORITIES)
            ? value(object, data, text, AUTHORITIES)
            : Optional.empty();
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
    return Optional.of(
        new Secret(
            meta,
            Optional.of(new Secret.KeyPair(certificate.get(), key.get())),
            // cert-manager writes it empty where an issuer names no authority.
            authorities.filter(pem -> !pem.isBlank())));
  }

  /** What else such a Secret holds, well-formed or not, is between its author and its readers. */
  private static Optional<String> opaque(Fields object) {
    Optional<String> plain = entry(object, "stringData");
    return plain.isPresent() ? plain : entry(object, "data").flatMap(SecretReader::decoded);
  }

  private static Optional<String> entry(Fields object, String field) {
    return object
        .node(field)
        .filter(Mapping.class::isInstance)
        .flatMap(data -> ((Mapping) data).get(AUTHORITIES))
        .filter(Scalar.class::isInstance)
        .map(value -> ((Scalar) value).text());
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
    Optional<String> decoded = decoded(encoded);
    if (decoded.isEmpty()) {
      object.error("data", name + " is not base64", "encode it, or write it under stringData");
    }
    return decoded;
  }

  private static Optional<String> decoded(String encoded) {
    try {
      byte[] bytes = Base64.getDecoder().decode(encoded.replaceAll("\\s", ""));
      return Optional.of(new String(bytes, StandardCharsets.US_ASCII));
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }
}
