// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.route.SessionKey;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Where the key of session tokens is kept, so that sessions outlive the process. Made when it is
 * first asked for; whoever comes first makes it for all.
 */
public final class SessionKeyFile {

  private final Optional<Path> file;
  private @Nullable SessionKey key;

  /**
   * A place for it.
   *
   * @param file empty to keep it in memory only
   */
  public SessionKeyFile(Optional<Path> file) {
    this.file = file;
  }

  /**
   * The key.
   *
   * @throws IOException when it can be neither read nor made; the message names the file
   */
  public synchronized SessionKey key() throws IOException {
    SessionKey known = key;
    if (known == null) {
      byte[] secret = file.isPresent() ? secret(file.get()) : random();
      known = new SessionKey(secret);
      Arrays.fill(secret, (byte) 0);
      key = known;
    }
    return known;
  }

  private static byte[] random() {
    byte[] secret = new byte[SessionKey.SECRET_BYTES];
    new SecureRandom().nextBytes(secret);
    return secret;
  }

  private static byte[] secret(Path file) throws IOException {
    if (!Files.exists(file)) {
      make(file);
    }
    byte[] secret = Files.readAllBytes(file);
    if (secret.length != SessionKey.SECRET_BYTES) {
      throw new IOException(
          file
              + " has "
              + secret.length
              + " bytes instead of "
              + SessionKey.SECRET_BYTES
              + "; remove it (sessions begin anew then)");
    }
    return secret;
  }

  /** Whole or not at all: another process may be reading or making it just now. */
  private static void make(Path file) throws IOException {
    Path made =
        Files.createTempFile(
            file.toAbsolutePath().getParent(),
            "session",
            ".tmp",
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    try {
      Files.write(made, random());
      Files.createLink(file, made);
    } catch (FileAlreadyExistsException e) {
      // Then that one counts.
    } finally {
      Files.delete(made);
    }
  }
}
