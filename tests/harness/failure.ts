/** The error a promise was expected to end with. */
import { CarillonError } from "../../core/errors.ts";

export async function failure(promise: Promise<unknown>): Promise<CarillonError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CarillonError) return error;
    throw error;
  }
  throw new Error("Cannot go on: it should have failed");
}
