// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.plan.TlsKeyPair;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.stream.Stream;

/** A directory of identities, as weir ca writes one. */
final class Identities {

  private final Path directory;

  Identities(Path directory) {
    this.directory = directory;
  }

  Path directory() {
    return directory;
  }

  /** A certificate for a service account of this mesh. */
  static void issue(Authority authority, String account, String... more) throws Exception {
    int slash = account.indexOf('/');
    String uri =
        "URI:spiffe://cluster.local/ns/"
            + account.substring(0, slash)
            + "/sa/"
            + account.substring(slash + 1);
    authority.issue(
        account,
        uri,
        Stream.concat(
                Stream.of("-ext", "KU:c=digitalSignature", "-ext", "EKU=serverAuth,clientAuth"),
                Stream.of(more))
            .toArray(String[]::new));
  }

  Identities believe(Authority... authorities) throws Exception {
    StringBuilder bundle = new StringBuilder();
    for (Authority authority : authorities) {
      bundle.append(authority.pem());
    }
    write(directory.resolve("bundle.pem"), bundle.toString());
    return this;
  }

  /** Writes what was issued under this name. */
  Identities put(Authority authority, String account) throws Exception {
    return put(authority.keyPair(account), account);
  }

  Identities put(TlsKeyPair pair, String account) throws IOException {
    int slash = account.indexOf('/');
    write(
        directory
            .resolve("ns")
            .resolve(account.substring(0, slash))
            .resolve("sa")
            .resolve(account.substring(slash + 1))
            .resolve("svid.pem"),
        pair.chainPem() + pair.keyPem());
    return this;
  }

  private static void write(Path file, String text) throws IOException {
    Files.createDirectories(file.getParent());
    Path made = Files.writeString(file.resolveSibling("." + file.getFileName() + ".tmp"), text);
    Files.move(made, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }
}
