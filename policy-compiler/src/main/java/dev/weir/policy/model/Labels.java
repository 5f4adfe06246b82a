// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Map;
import java.util.regex.Pattern;

/** Keys and values of labels, as Kubernetes has them (Object Names and IDs; Labels, syntax). */
final class Labels {

  private static final int MAX_PREFIX = 253;

  private static final Pattern VALUE =
      Pattern.compile("([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?");

  private static final Pattern NAME =
      Pattern.compile("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?");

  /** RFC 1123: labels between single dots. */
  private static final Pattern SUBDOMAIN =
      Pattern.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*");

  private static final String KEY_REMEDY = "as app or example.com/app";
  private static final String VALUE_REMEDY =
      "at most 63 letters, digits, '-', '_' and '.', alphanumeric at both ends";

  private Labels() {}

  /** Whether a text is a name that may have a prefix, as keys of labels are. */
  static boolean isKey(String key) {
    if (ResourceReader.isPlainWord(key)) {
      return true;
    }
    int slash = key.indexOf('/');
    return slash < 0
        ? NAME.matcher(key).matches()
        : isSubdomain(key.substring(0, slash)) && NAME.matcher(key.substring(slash + 1)).matches();
  }

  /** Whether a text is a DNS subdomain of RFC 1123, as names of most objects are. */
  static boolean isSubdomain(String text) {
    return text.length() <= MAX_PREFIX && SUBDOMAIN.matcher(text).matches();
  }

  private static boolean isValue(String value) {
    return ResourceReader.isPlainWord(value)
        || value.length() <= 63 && VALUE.matcher(value).matches();
  }

  /** Notes an error when a text is no key. */
  static void checkKey(Fields fields, String key) {
    if (!isKey(key)) {
      fields.error("\"" + key + "\" is no label key", KEY_REMEDY);
    }
  }

  /** Notes an error when a text is no value. */
  static void checkValue(Fields fields, String field, String value) {
    if (!isValue(value)) {
      fields.error(field, "\"" + value + "\" is no label value", VALUE_REMEDY);
    }
  }

  /** Reads labels that select. */
  static Map<String, String> selecting(Fields fields, String field) {
    Map<String, String> labels = fields.map(field);
    for (Map.Entry<String, String> label : labels.entrySet()) {
      checkKey(fields, label.getKey());
      checkValue(fields, field, label.getValue());
    }
    return labels;
  }

  /** Reads labels of an object; what they select is clear even where an API server refuses them. */
  static Map<String, String> of(Fields metadata) {
    Map<String, String> labels = metadata.map("labels");
    for (Map.Entry<String, String> label : labels.entrySet()) {
      if (!isKey(label.getKey())) {
        metadata.warning(
            "labels",
            "\"" + label.getKey() + "\" is a label key that an API server refuses",
            KEY_REMEDY);
      }
      if (!isValue(label.getValue())) {
        metadata.warning(
            "labels",
            "\"" + label.getValue() + "\" is a label value that an API server refuses",
            VALUE_REMEDY);
      }
    }
    return labels;
  }
}
