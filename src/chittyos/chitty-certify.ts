import { z } from 'zod';
import { foreignId } from './answer.ts';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';

/** What a certificate is asked for. */
export interface CertifyRequest {
  /** The id of the verification that it rests on. */
  readonly verification: string;
  /** The rules that are kept, such as `chittyos-v1`. */
  readonly compliantWith: readonly string[];
  /** Such as `standard`. */
  readonly securityLevel: string;
}

const certificateAnswer = z.looseObject({ id: foreignId });

type Certificate = z.infer<typeof certificateAnswer>;

const certifyContext: Operation<Certificate> = { name: 'certifyContext', method: 'POST', answer: certificateAnswer };
const certifyService: Operation<Certificate> = { name: 'certifyService', method: 'POST', answer: certificateAnswer };
const certificate: Operation<Certificate> = { name: 'certificate', method: 'GET', answer: certificateAnswer };

/** ChittyCertify: certificates of what was verified. */
export function chittyCertifyClient(connection: Connection) {
  return {
    /** Asks for a context's certificate. Repeated only when it carries an Idempotency-Key. */
    certifyContext(chittyid: string, request: CertifyRequest, options?: CallOptions) {
      const path = ['api', 'certify', 'context'];
      return call(connection, certifyContext, { path, body: request, chittyId: chittyid }, options);
    },
    /** Asks for a service's certificate. Repeated only when it carries an Idempotency-Key. */
    certifyService(chittyid: string, request: CertifyRequest, options?: CallOptions) {
      const path = ['api', 'certify', 'service'];
      return call(connection, certifyService, { path, body: request, chittyId: chittyid }, options);
    },
    /** Reads a certificate. */
    certificate(id: string, options?: CallOptions) {
      return call(connection, certificate, { path: ['api', 'certificates', id] }, options);
    },
  };
}
