// Reads [{secret, headers, body}] and says of each what the receivers' own library for JavaScript says of it.
const { Webhook } = require("standardwebhooks");

const requests = JSON.parse(require("fs").readFileSync(0, "utf8"));
const verdicts = requests.map(({ secret, headers, body }) => {
  try {
    return { id: new Webhook(secret).verify(body, headers).id };
  } catch (problem) {
    return { refused: problem.constructor.name };
  }
});
process.stdout.write(JSON.stringify(verdicts));
