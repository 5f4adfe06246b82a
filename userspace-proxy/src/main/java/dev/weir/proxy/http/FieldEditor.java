// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.route.HeaderEditor;
import io.netty.handler.codec.http.HttpHeaders;

/** Changes header fields of messages. */
final class FieldEditor implements HeaderEditor<HttpHeaders> {

  static final FieldEditor INSTANCE = new FieldEditor();

  private FieldEditor() {}

  @Override
  public void set(HttpHeaders headers, String name, String value) {
    headers.set(name, value);
  }

  @Override
  public void add(HttpHeaders headers, String name, String value) {
    headers.add(name, value);
  }

  @Override
  public void remove(HttpHeaders headers, String name) {
    headers.remove(name);
  }
}
