// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.identity;

import java.security.cert.CertificateException;

/** A certificate that proves no identity; the message says which rule it breaks. */
public final class NotAnSvidException extends CertificateException {

  /** For this reason. */
  public NotAnSvidException(String message) {
    super(message);
  }

  NotAnSvidException(String message, Throwable cause) {
    super(message, cause);
  }
}
