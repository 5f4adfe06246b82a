// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.IOException;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

/** Takes readings of the shop's sensors: {@code SensorGateway PORT}. */
final class SensorGateway {

  private SensorGateway() {}

  public static void main(String[] arguments) throws IOException {
    AtomicLong readings = new AtomicLong();
    Http.serve(
        Integer.parseInt(arguments[0]),
        (method, path, request) -> {
          long count = method.equals("POST") ? readings.incrementAndGet() : readings.get();
          return Http.response(200, Map.of("content-type", "text/plain"), count + " readings\n");
        });
  }
}
