//! `holm second-factor`.

use super::App;
use super::users::myself;
use crate::args::users::SecondFactorCommand;
use crate::client::{Call, path, shaped};
use crate::errors::{Error, Result};
use crate::output::Part;
use crate::prompt;
use holm_wire::v1::{SecondFactorConfirm, SecondFactorOffer, SecondFactorRemove};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use reqwest::Method;

pub(super) async fn run(app: &App, command: SecondFactorCommand) -> Result {
    match command {
        SecondFactorCommand::Setup(args) => setup(app, args.no_qr).await,
        SecondFactorCommand::Remove(args) => remove(app, args.name).await,
    }
}

async fn setup(app: &App, no_qr: bool) -> Result {
    let value = app.client.send(Call::new(Method::POST, "/me/second-factor")).await?.json()?;
    let offer: SecondFactorOffer = shaped(&value)?;
    if app.output.is_table() {
        if !no_qr && app.output.is_terminal() {
            app.output.text(&qr(&offer.uri)?)?;
        }
        app.output.parts(&[Part::Line("key", offer.key.clone()), Part::Line("uri", offer.uri.clone())])?;
    } else {
        app.output.value(&value)?;
    }
    app.remarks.note("Scan the code with an authenticator application, or type the key into it.");
    let code = prompt::ask("Code that it shows", None).await?;
    let confirm = SecondFactorConfirm { key: offer.key, code };
    app.client.send(Call::new(Method::PUT, "/me/second-factor").json(&confirm)?).await?;
    app.remarks.note("From now on logging in asks for a code.");
    Ok(())
}

fn qr(text: &str) -> Result<String> {
    let code = QrCode::new(text.as_bytes()).map_err(|e| Error::failed(format!("the key makes no QR code: {e}")))?;
    // Dark terminals show the light modules as light, which is what cameras look for.
    let image = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Ok(image + "\n")
}

async fn remove(app: &App, name: Option<String>) -> Result {
    let me = myself(app).await?;
    let own = name.as_ref().is_none_or(|name| *name == me.name || *name == me.id.to_string());
    let code = if own { Some(prompt::ask("Code that the application shows", None).await?) } else { None };
    let user = name.unwrap_or(me.name);
    let at = path(&["users", &user, "second-factor", "remove"])?;
    app.client.send(Call::new(Method::POST, at).json(&SecondFactorRemove { code })?).await?;
    app.remarks.note(&format!("User {user} logs in without a code from now on."));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_a_square_of_half_blocks() {
        let shown = qr("otpauth://totp/Holm:anna?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Holm").expect("a code");
        let lines: Vec<&str> = shown.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width), "{shown}");
        assert_eq!(lines.len(), width.div_ceil(2), "{shown}");
        assert!(shown.chars().all(|c| " \n█▀▄".contains(c)), "{shown}");
    }
}
