// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.policy.plan.Workload;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Which workload a connection of a tunnel is of, as its node says in {@code baggage} (W3C Baggage,
 * with the keys of OpenTelemetry's resources as Istio's ambient mode writes them). Nothing proves
 * it: it may tell apart in metrics those among whom a certificate leaves the choice, and decides
 * nothing.
 *
 * @param namespace of the workload
 * @param workload its name
 */
public record Baggage(String namespace, String workload) {

  /** Of the whole header; W3C Baggage 3.3.2 lets it have as much. */
  static final int MAX_LENGTH = 8192;

  private static final String NAMESPACE = "k8s.namespace.name";
  private static final String DEPLOYMENT = "k8s.deployment.name";

  /** By the kind that declares a workload; all others are told as a Deployment. */
  private static final Map<String, String> NAMES =
      Map.of(
          "Deployment", DEPLOYMENT,
          "StatefulSet", "k8s.statefulset.name",
          "DaemonSet", "k8s.daemonset.name",
          "ReplicaSet", "k8s.replicaset.name",
          "Job", "k8s.job.name",
          "CronJob", "k8s.cronjob.name",
          "Pod", "k8s.pod.name");

  /** What is told of a workload of this node. */
  public static String of(Workload workload) {
    StringBuilder text = new StringBuilder();
    member(text, NAMESPACE, workload.namespace());
    member(text, NAMES.getOrDefault(workload.kind(), DEPLOYMENT), workload.name());
    member(text, "service.name", workload.app().isEmpty() ? workload.name() : workload.app());
    member(text, "service.version", workload.version());
    return text.toString();
  }

  private static void member(StringBuilder text, String key, String value) {
    if (value.isEmpty()) {
      return;
    }
    if (!text.isEmpty()) {
      text.append(',');
    }
    text.append(key).append('=');
    for (byte octet : value.getBytes(StandardCharsets.UTF_8)) {
      char c = (char) (octet & 0xff);
      if (c >= 'a' && c <= 'z'
          || c >= 'A' && c <= 'Z'
          || c >= '0' && c <= '9'
          || "-._~".indexOf(c) >= 0) {
        text.append(c);
      } else {
        text.append('%').append("%02X".formatted((int) c));
      }
    }
  }

  /**
   * What a node tells.
   *
   * @param fields all of that name
   * @return empty when they name no workload, or cannot be read: then nothing of them counts
   */
  public static Optional<Baggage> read(List<? extends CharSequence> fields) {
    Map<String, String> told = new HashMap<>();
    int length = 0;
    for (CharSequence field : fields) {
      length += field.length();
      if (length > MAX_LENGTH || !read(field.toString(), told)) {
        return Optional.empty();
      }
    }
    List<String> names = NAMES.values().stream().filter(told::containsKey).map(told::get).toList();
    String namespace = told.getOrDefault(NAMESPACE, "");
    return names.size() == 1 && !namespace.isEmpty()
        ? Optional.of(new Baggage(namespace, names.getFirst()))
        : Optional.empty();
  }

  private static boolean read(String field, Map<String, String> told) {
    for (String member : field.split(",", -1)) {
      // What follows the value are its properties, of which none is looked at.
      String pair = member.split(";", 2)[0];
      int equals = pair.indexOf('=');
      if (equals < 1) {
        return false;
      }
      Optional<String> value = decoded(pair.substring(equals + 1).strip());
      if (value.isEmpty() || told.put(pair.substring(0, equals).strip(), value.get()) != null) {
        return false;
      }
    }
    return true;
  }

  private static Optional<String> decoded(String value) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(value.length());
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\') {
        return Optional.empty();
      }
      if (c != '%') {
        bytes.write(c);
        continue;
      }
      int high = i + 2 <= value.length() - 1 ? Character.digit(value.charAt(i + 1), 16) : -1;
      int low = i + 2 <= value.length() - 1 ? Character.digit(value.charAt(i + 2), 16) : -1;
      if (high < 0 || low < 0) {
        return Optional.empty();
      }
      bytes.write(high << 4 | low);
      i += 2;
    }
    try {
      return Optional.of(
          StandardCharsets.UTF_8
              .newDecoder()
              .decode(ByteBuffer.wrap(bytes.toByteArray()))
              .toString());
    } catch (CharacterCodingException e) {
      return Optional.empty();
    }
  }
}
