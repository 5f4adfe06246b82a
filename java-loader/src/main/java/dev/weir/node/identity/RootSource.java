// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.nio.file.Path;
import java.time.Duration;

/** Where a root comes from. */
public sealed interface RootSource {

  /**
   * It is made here, with a key that never leaves.
   *
   * @param life how long it is good for
   */
  record Made(Duration life) implements RootSource {}

  /**
   * Somebody else made it.
   *
   * @param certificates PEM: what signs leaves first, then what signed that, up to a self-signed
   *     anchor
   * @param key PEM, unencrypted PKCS#8; may be the same file
   */
  record Given(Path certificates, Path key) implements RootSource {}
}
